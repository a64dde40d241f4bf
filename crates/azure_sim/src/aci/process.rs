//! Processes of containers: started in a process group of their own, ended with it, and never left behind.
//!
//! UNSAFETY: the two things that must be asked of the kernel have no safe wrapper in the standard library:
//! the death signal, which is set between fork and exec, and the signal to a whole process group.

#![expect(
    unsafe_code,
    reason = "prctl before exec and kill of a process group have no safe form in std"
)]

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::mpsc;

use tokio::process::{Child, Command};
use tokio::sync::oneshot;

/// What a container's process is started with, and nothing else.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub program: &'a Path,
    pub arguments: &'a [String],
    pub environment: &'a [(String, String)],
    pub directory: &'a Path,
}

/// How a process group is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Terminate,
    Kill,
}

/// Start a process that ends when the cloud ends, however the cloud ends.
pub(super) async fn spawn(start: &Start<'_>) -> io::Result<Child> {
    let mut command = Command::new(start.program);
    command
        .args(start.arguments)
        .env_clear()
        .envs(start.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(start.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    // SAFETY: prctl with PR_SET_PDEATHSIG is a plain system call; it neither allocates nor takes locks, so it may stand between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    // The death signal follows the thread that forks, so all forks are made by one thread that lives as long as the cloud.
    let (answer, answered) = oneshot::channel();
    let handle = tokio::runtime::Handle::current();
    let gone = || io::Error::other("the thread that starts processes is gone");
    spawner()?.send(Job { command, handle, answer }).map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?
}

/// Signal a whole process group; one that is gone needs none.
pub(super) fn signal(group: u32, signal: Signal) {
    let Ok(group) = i32::try_from(group) else { return };
    let number = match signal {
        Signal::Terminate => libc::SIGTERM,
        Signal::Kill => libc::SIGKILL,
    };
    // SAFETY: kill takes two integers and touches no memory of ours; a group that is gone gives ESRCH, which changes nothing.
    let _ = unsafe { libc::kill(group.saturating_neg(), number) };
}

struct Job {
    command: Command,
    handle: tokio::runtime::Handle,
    answer: oneshot::Sender<io::Result<Child>>,
}

fn spawner() -> io::Result<mpsc::Sender<Job>> {
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    if let Some(sender) = SPAWNER.get() {
        return Ok(sender.clone());
    }
    let (sender, jobs) = mpsc::channel::<Job>();
    std::thread::Builder::new().name("containers".to_owned()).spawn(move || {
        for mut job in jobs {
            let _entered = job.handle.enter();
            // Whoever asked may have gone; then the child is dropped and with it killed.
            let _ = job.answer.send(job.command.spawn()).is_ok();
        }
    })?;
    // A second thread made in a race gets no jobs and ends when its sender is dropped.
    Ok(SPAWNER.get_or_init(|| sender).clone())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    const ROLE: &str = "AZURE_SIM_TEST_HOLDS_A_PROCESS";

    fn alive(process: u32) -> bool {
        // A killed process may stay for its new parent to see; it runs no more.
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }

    /// Not a test of its own: the other runs it in a process that it then kills.
    #[tokio::test]
    async fn holds_a_process() {
        if std::env::var_os(ROLE).is_none() {
            return;
        }
        let start = Start {
            program: Path::new("/bin/sleep"),
            arguments: &["600".to_owned()],
            environment: &[],
            directory: Path::new("/"),
        };
        let child = spawn(&start).await.unwrap();
        std::fs::write("/dev/stdout", format!("\nprocess {}\n", child.id().unwrap())).unwrap();
        std::future::pending::<()>().await;
    }

    #[test]
    fn a_process_does_not_outlive_a_cloud_that_is_killed() {
        let mut cloud = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "aci::process::tests::holds_a_process", "--nocapture"])
            .env(ROLE, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(cloud.stdout.take().unwrap());
        let told = output
            .lines()
            .find_map(|line| line.unwrap().strip_prefix("process ").map(str::to_owned));
        let process: u32 = told.unwrap().parse().unwrap();
        assert!(alive(process));
        cloud.kill().unwrap();
        cloud.wait().unwrap();
        for _ in 0..500 {
            if !alive(process) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("process {process} outlived its cloud");
    }
}
