//! From the secrets to the application: files first, all or none, then the program in our place.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use manifest::SecretPath;

use crate::config::{Delivery, SecretFile, Target, Variable};
use crate::files::{FileError, Folder, Staged};
use crate::release::Released;

/// The application's command, not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    program: OsString,
    arguments: Vec<OsString>,
}

impl Application {
    /// Takes a program and its arguments.
    #[must_use]
    pub fn parse(words: Vec<OsString>) -> Option<Self> {
        let mut words = words.into_iter();
        Some(Self { program: words.next()?, arguments: words.collect() })
    }
}

/// Writes the files; nothing is changed unless all can be written.
///
/// # Errors
/// A file cannot be written, or a secret is for a variable, which only [`start`] can set.
pub fn write_files(deliveries: &[Delivery], released: &Released) -> Result<(), HandOverError> {
    for delivery in deliveries {
        if let Target::Environment(variable) = &delivery.to {
            return Err(HandOverError::NoProgram { variable: variable.clone() });
        }
    }
    place_files(deliveries, released)
}

/// Writes the files and becomes the application. Returns only if that fails.
///
/// The application has our environment without our own variables (`VOUCHSAFE_…`), and what the
/// configuration adds. It has the same process id, so whoever started us watches it from now on.
pub fn start(
    application: &Application,
    deliveries: &[Delivery],
    released: Released,
) -> HandOverError {
    match prepare(application, deliveries, &released) {
        Ok(mut command) => {
            drop(released);
            HandOverError::Start { program: application.program.clone(), source: command.exec() }
        }
        Err(error) => error,
    }
}

fn prepare(
    application: &Application,
    deliveries: &[Delivery],
    released: &Released,
) -> Result<Command, HandOverError> {
    let mut command = Command::new(&application.program);
    command.args(&application.arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    for delivery in deliveries {
        if let Target::Environment(variable) = &delivery.to {
            let value = value(released, &delivery.path)?;
            if value.contains('\0') {
                return Err(HandOverError::Null { path: delivery.path.clone() });
            }
            command.env(variable.as_str(), value);
        }
    }
    place_files(deliveries, released)?;
    Ok(command)
}

fn place_files(deliveries: &[Delivery], released: &Released) -> Result<(), HandOverError> {
    let files: Vec<(&SecretFile, &str)> = deliveries
        .iter()
        .filter_map(|delivery| match &delivery.to {
            Target::File(file) => Some(value(released, &delivery.path).map(|value| (file, value))),
            Target::Environment(_) => None,
        })
        .collect::<Result<_, _>>()?;
    let folders: Vec<Folder> = files
        .iter()
        .map(|(file, _)| Folder::open_or_make(file.folder()))
        .collect::<Result<_, _>>()?;
    let staged: Vec<Staged<'_>> = files
        .iter()
        .zip(&folders)
        .map(|((file, value), folder)| {
            folder.stage(file.name(), file.mode().bits(), value.as_bytes())
        })
        .collect::<Result<_, _>>()?;
    for file in staged {
        file.commit()?;
    }
    Ok(())
}

fn value<'r>(released: &'r Released, path: &SecretPath) -> Result<&'r str, HandOverError> {
    let missing = || HandOverError::NotReleased { path: path.clone() };
    released.secret(path).map(|text| text.expose_secret()).ok_or_else(missing)
}

fn ours(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"VOUCHSAFE_")
}

/// Why the application is not started.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// A file cannot be written.
    #[error("writing the file of a secret")]
    File(#[from] FileError),
    /// The environment has no room for this byte.
    #[error("the secret {path} has a null character, which no variable can hold")]
    Null {
        /// Which.
        path: SecretPath,
    },
    /// There is no application to have the variable.
    #[error("the variable {variable} is for an application, and none is started")]
    NoProgram {
        /// Which.
        variable: Variable,
    },
    /// The secret was not asked for.
    #[error("the secret {path} was not released")]
    NotReleased {
        /// Which.
        path: SecretPath,
    },
    /// The program does not start.
    #[error("starting {}", program.display())]
    Start {
        /// Which.
        program: OsString,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn deliveries(secrets: &str) -> Vec<Delivery> {
        let text = format!("{}\n{secrets}", crate::config::MINIMAL);
        Config::parse(&text, Path::new("/")).unwrap().deliveries().to_vec()
    }

    fn application(words: &[&str]) -> Application {
        Application::parse(words.iter().map(OsString::from).collect()).unwrap()
    }

    fn output(secrets: &str, released: &Released, words: &[&str]) -> String {
        let mut command = prepare(&application(words), &deliveries(secrets), released).unwrap();
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    #[test]
    fn sets_variables() {
        let released = Released::of(&[("demo/db", "hunter 2\n")]);
        let secrets = "[[secret]]\npath = \"demo/db\"\nenv = \"DB\"\n";
        assert_eq!(output(secrets, &released, &["sh", "-c", "printf %s \"$DB\""]), "hunter 2\n");
    }

    #[test]
    fn takes_our_own_variables_out() {
        // The test itself was started with the variable that names the corpus, or without any of ours.
        let shown = output("", &Released::of(&[]), &["env"]);
        assert!(!shown.contains("VOUCHSAFE_"), "{shown}");
        assert!(ours(OsStr::new("VOUCHSAFE_LOG")) && !ours(OsStr::new("PATH")));
    }

    #[test]
    fn writes_files_before_the_program_runs() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().canonicalize().unwrap().join("run/key");
        let secrets = format!("[[secret]]\npath = \"demo/k\"\nfile = \"{}\"\n", file.display());
        let released = Released::of(&[("demo/k", "pem")]);
        assert_eq!(output(&secrets, &released, &["cat", file.to_str().unwrap()]), "pem");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o400);
    }

    #[test]
    fn one_file_that_cannot_be_written_keeps_all_from_being_written() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        symlink(root.join("victim"), root.join("b")).unwrap();
        let secrets = format!(
            "[[secret]]\npath = \"demo/k\"\nfile = \"{0}/a\"\n[[secret]]\npath = \"demo/k\"\nfile = \"{0}/b\"\n",
            root.display()
        );
        let e =
            write_files(&deliveries(&secrets), &Released::of(&[("demo/k", "pem")])).unwrap_err();
        assert!(matches!(e, HandOverError::File(FileError::NotAFile { .. })), "{e:?}");
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 1);
    }

    #[test]
    fn refuses_a_null_in_a_variable() {
        let secrets = "[[secret]]\npath = \"demo/db\"\nenv = \"DB\"\n";
        let released = Released::of(&[("demo/db", "a\0b")]);
        let e = start(&application(&["true"]), &deliveries(secrets), released);
        assert!(matches!(e, HandOverError::Null { .. }), "{e:?}");
    }

    #[test]
    fn says_that_a_program_is_missing() {
        let e = start(&application(&["/nonexistent/program"]), &[], Released::of(&[]));
        assert!(matches!(e, HandOverError::Start { .. }), "{e:?}");
    }

    #[test]
    fn fetching_sets_no_variables() {
        let secrets = "[[secret]]\npath = \"demo/db\"\nenv = \"DB\"\n";
        let e = write_files(&deliveries(secrets), &Released::of(&[("demo/db", "x")])).unwrap_err();
        assert!(matches!(e, HandOverError::NoProgram { .. }), "{e:?}");
    }
}
