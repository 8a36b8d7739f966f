//! The input and output of the launcher: fields that end with NUL, so that the launcher stays
//! small.

use std::io::{Error, Read, Result, Write};

/// Calls, and the number of parallel ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// The number of parallel calls.
    pub at_once: usize,
    /// The calls.
    pub calls: Vec<Vec<Step>>,
}

/// One program of a call. The programs of a chain run one after another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The complete environment, as `NAME=VALUE`.
    pub env: Vec<String>,
    /// The standard input.
    pub stdin: String,
    /// Whether the output of the step before is inserted into the input, as `prevResult`.
    pub hand_on: bool,
}

/// The outcome of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    /// The calls, in their order.
    pub calls: Vec<Done>,
    /// Processor time of all calls, including the kernel's, in nanoseconds.
    pub cpu: u64,
    /// The maximum memory of one process, in KiB.
    pub rss: u64,
    /// Page faults of all calls that needed no disk.
    pub faults: u64,
}

/// The outcome of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// The start, in nanoseconds after the start of the job.
    pub start: u64,
    /// The end.
    pub end: u64,
    /// The output of the last program.
    pub stdout: String,
    /// The error; empty if there is none.
    pub error: String,
}

impl Job {
    /// Writes the job for the launcher.
    ///
    /// # Errors
    ///
    /// The error of `to`.
    pub fn send(&self, mut to: impl Write) -> Result<()> {
        let mut text = String::new();
        let mut field = |value: &str| {
            text.push_str(value);
            text.push('\0');
        };
        field(&self.at_once.to_string());
        field(&self.calls.len().to_string());
        for call in &self.calls {
            field(&call.len().to_string());
            for step in call {
                for list in [&step.command, &step.env] {
                    field(&list.len().to_string());
                    list.iter().for_each(|value| field(value));
                }
                field(&step.stdin);
                field(&u64::from(step.hand_on).to_string());
            }
        }
        to.write_all(text.as_bytes())
    }

    /// Reads a job from [`Job::send`].
    ///
    /// # Errors
    ///
    /// If the input is invalid or cannot be read.
    pub fn receive(from: impl Read) -> Result<Job> {
        let text = whole(from)?;
        let mut fields = Fields(text.split('\0'));
        let at_once = fields.number()? as usize;
        let calls = fields.list(|fields| {
            fields.list(|fields| {
                Ok(Step {
                    command: fields.list(Fields::text)?,
                    env: fields.list(Fields::text)?,
                    stdin: fields.text()?,
                    hand_on: fields.number()? != 0,
                })
            })
        })?;
        Ok(Job { at_once, calls })
    }
}

impl Ran {
    /// Writes the outcome for the client of the launcher.
    ///
    /// # Errors
    ///
    /// The error of `to`.
    pub fn send(&self, mut to: impl Write) -> Result<()> {
        let mut text =
            format!("{}\0{}\0{}\0{}\0", self.cpu, self.rss, self.faults, self.calls.len());
        for call in &self.calls {
            let Done { start, end, stdout, error } = call;
            text.push_str(&format!("{start}\0{end}\0{stdout}\0{error}\0"));
        }
        to.write_all(text.as_bytes())
    }

    /// Reads an outcome from [`Ran::send`].
    ///
    /// # Errors
    ///
    /// If the input is invalid or cannot be read.
    pub fn receive(from: impl Read) -> Result<Ran> {
        let text = whole(from)?;
        let mut fields = Fields(text.split('\0'));
        let (cpu, rss, faults) = (fields.number()?, fields.number()?, fields.number()?);
        let calls = fields.list(|fields| {
            Ok(Done {
                start: fields.number()?,
                end: fields.number()?,
                stdout: fields.text()?,
                error: fields.text()?,
            })
        })?;
        Ok(Ran { calls, cpu, rss, faults })
    }
}

fn whole(mut from: impl Read) -> Result<String> {
    let mut text = String::new();
    from.read_to_string(&mut text)?;
    Ok(text)
}

struct Fields<'a>(std::str::Split<'a, char>);

impl Fields<'_> {
    fn text(&mut self) -> Result<String> {
        self.0.next().map(str::to_owned).ok_or_else(|| Error::other("it ends too early"))
    }

    fn number(&mut self) -> Result<u64> {
        self.text()?.parse().map_err(|_| Error::other("a number was expected"))
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let length = self.number()?;
        (0..length).map(|_| one(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sent_message_is_received() {
        let step = Step {
            command: vec!["/bin/true".to_owned(), String::new()],
            env: vec!["A=b\nc".to_owned()],
            stdin: "{}".to_owned(),
            hand_on: true,
        };
        let job = Job { at_once: 3, calls: vec![vec![step.clone(), step], vec![]] };
        let mut sent = Vec::new();
        job.send(&mut sent).unwrap();
        assert_eq!(Job::receive(sent.as_slice()).unwrap(), job);

        let done = Done { start: 1, end: 2, stdout: "{}\n".to_owned(), error: String::new() };
        let ran = Ran { calls: vec![done.clone(), done], cpu: 3, rss: 4, faults: 5 };
        let mut sent = Vec::new();
        ran.send(&mut sent).unwrap();
        assert_eq!(Ran::receive(sent.as_slice()).unwrap(), ran);
    }
}
