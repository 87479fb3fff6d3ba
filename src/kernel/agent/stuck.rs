//! Whether the work goes round in circles: the same commands with the same outcomes, one after the
//! other or in turn.

use crate::kernel::fold::Command;

/// So often does a round repeat before the model is told.
pub(super) const TELL: usize = 3;

/// So often does it repeat before people are asked.
pub(super) const GIVE_UP: usize = 6;

/// The longest round that is looked for, in commands.
const LONGEST: usize = 3;

/// How often the newest commands repeat themselves, and how many of them make one round: 1 and 0 if
/// they do not.
pub(super) fn repeats(commands: &[Command]) -> (usize, usize) {
    let repeated = (1..=LONGEST).map(|length| (times(commands, length), length));
    // The shortest of the rounds that repeat most.
    repeated
        .filter(|(times, _)| *times > 1)
        .max_by_key(|(times, l)| (*times, LONGEST - l))
        .unwrap_or((1, 0))
}

/// How often the last so many commands stand at the end, one after the other.
fn times(commands: &[Command], length: usize) -> usize {
    let mut rounds = commands.rchunks_exact(length);
    let Some(last) = rounds.next() else { return 0 };
    1 + rounds.take_while(|round| round.iter().zip(last).all(|(a, b)| same(a, b))).count()
}

fn same(a: &Command, b: &Command) -> bool {
    a.text == b.text
        && a.status == b.status
        && a.output_total == b.output_total
        && a.excerpt == b.excerpt
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::event::kinds::CommandStatus;
    use crate::kernel::event::{EventId, Hlc};

    fn commands(script: &[(&str, &str)]) -> Vec<Command> {
        let command = |(n, (text, output)): (usize, &(&str, &str))| Command {
            event: EventId([u8::try_from(n).unwrap(); 32]),
            text: (*text).to_owned(),
            at: Hlc(n as u64),
            parts: 1,
            excerpt: output.as_bytes().to_vec(),
            status: Some(CommandStatus::Exited(0)),
            output_total: output.len() as u64,
        };
        script.iter().enumerate().map(command).collect()
    }

    #[test]
    fn circles_are_found() {
        let (ls, pwd) = (("ls", "a"), ("pwd", "/"));
        assert_eq!(repeats(&commands(&[])), (1, 0));
        assert_eq!(repeats(&commands(&[ls, pwd])), (1, 0));
        assert_eq!(repeats(&commands(&[pwd, ls, ls, ls])), (3, 1));
        assert_eq!(repeats(&commands(&[ls, pwd, ls, pwd, ls, pwd])), (3, 2));
        let other = ("ls", "b");
        assert_eq!(repeats(&commands(&[ls, other])), (1, 0), "another output is progress");
    }
}
