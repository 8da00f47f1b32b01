//! A command line of `--name value` pairs and flags.

use std::str::FromStr;

/// Arguments that are left, taken one by one.
#[derive(Debug)]
pub struct Arguments {
    left: std::vec::IntoIter<String>,
    name: String,
}

impl Arguments {
    /// Those of a process, or of a test.
    pub fn new(arguments: impl IntoIterator<Item = String>) -> Self {
        Self { left: arguments.into_iter().collect::<Vec<_>>().into_iter(), name: String::new() }
    }

    /// The next name, such as `--listen`.
    pub fn name(&mut self) -> Option<String> {
        self.name = self.left.next()?;
        Some(self.name.clone())
    }

    /// The value behind that name.
    ///
    /// # Errors
    /// A sentence that names the argument, when there is no value, or not of this type.
    pub fn value<T: FromStr>(&mut self) -> Result<T, String> {
        let name = &self.name;
        let value = self.left.next().ok_or_else(|| format!("{name} needs a value"))?;
        value.parse().map_err(|_| format!("{name} cannot be {value}"))
    }

    /// What to say of a name that is not known.
    #[must_use]
    pub fn unknown(&self) -> String {
        format!("{} is not known; see --help", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Arguments {
        let mut arguments = Arguments::new(line.split(' ').map(str::to_owned));
        arguments.name();
        arguments
    }

    #[test]
    fn a_fault_names_its_argument() {
        assert_eq!(of("--servers 3").value::<u32>(), Ok(3));
        assert_eq!(of("--servers").value::<u32>(), Err("--servers needs a value".to_owned()));
        assert_eq!(of("--servers x").value::<u32>(), Err("--servers cannot be x".to_owned()));
        assert_eq!(of("--fast").unknown(), "--fast is not known; see --help");
    }
}
