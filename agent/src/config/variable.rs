//! Names of environment variables that a secret may set.
//!
//! Whoever writes a secret's value must not thereby decide what program runs or what it loads, so
//! the variables through which a loader, a shell or an interpreter takes code or files are refused
//! unless the configuration allows that very name.

use std::fmt;
use std::str::FromStr;

/// The name of an environment variable, in the portable form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variable(String);

/// A text that is no such name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a variable's name: letters, digits and underscores, not a digit first")]
pub struct NotAVariable;

/// Whether a secret may set a variable without further ado.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It means what the application says.
    Data,
    /// Something takes code, files or rules of parsing from it.
    Control,
}

impl Variable {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn reach(&self) -> Reach {
        let name = self.as_str();
        let family = FAMILIES.iter().any(|prefix| name.starts_with(prefix));
        if family || CONTROL.contains(&name) { Reach::Control } else { Reach::Data }
    }
}

impl FromStr for Variable {
    type Err = NotAVariable;
    fn from_str(text: &str) -> Result<Self, NotAVariable> {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if first && rest { Ok(Self(text.to_owned())) } else { Err(NotAVariable) }
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every variable whose name begins so.
const FAMILIES: &[&str] = &[
    "LD_",
    "DYLD_",
    "MALLOC_",
    "GLIBC_",
    "GCONV_",
    "BASH_",
    "DOTNET_",
    "COR_",
    "CORECLR_",
    "GIT_",
    "PERL",
    "PYTHON",
    "RUBY",
    "NODE_",
    "NPM_",
    "PHP",
    "LUA_",
    "OPENSSL_",
    "SSL_",
    "UVM_",
    "VOUCHSAFE_",
];

const CONTROL: &[&str] = &[
    "PATH",
    "IFS",
    "ENV",
    "SHELL",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "PROMPT_COMMAND",
    "CDPATH",
    "HOME",
    "TMPDIR",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "LESSOPEN",
    "LESSCLOSE",
    "LOCPATH",
    "NLSPATH",
    "TZDIR",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "RES_OPTIONS",
    "RESOLV_HOST_CONF",
    "CLASSPATH",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "TERMINFO",
    "TERMCAP",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "CURL_HOME",
    "GTK_MODULES",
    "GTK_PATH",
    "QT_PLUGIN_PATH",
    "POSIXLY_CORRECT",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_reaches_further_than_the_application() {
        for (name, reach) in [
            ("DB_PASSWORD", Reach::Data),
            ("PATHS", Reach::Data),
            ("_TOKEN2", Reach::Data),
            ("LD_PRELOAD", Reach::Control),
            ("LD_LIBRARY_PATH", Reach::Control),
            ("PATH", Reach::Control),
            ("IFS", Reach::Control),
            ("BASH_ENV", Reach::Control),
            ("ENV", Reach::Control),
            ("PYTHONPATH", Reach::Control),
            ("NODE_OPTIONS", Reach::Control),
        ] {
            assert_eq!(name.parse::<Variable>().unwrap().reach(), reach, "{name}");
        }
    }

    #[test]
    fn refuses_names_that_a_shell_could_not_say() {
        for name in ["", "1A", "A-B", "A=B", "A\0", "Ä", "A B"] {
            assert_eq!(name.parse::<Variable>(), Err(NotAVariable), "{name:?}");
        }
    }
}
