//! What a container wrote: lines with their times, the last of them, within a bound.

use std::collections::VecDeque;

use jiff::Timestamp;

/// Whether lines of a log carry their times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    /// `2026-11-22T04:00:00.0000000Z line`.
    Shown,
    /// The line alone.
    Hidden,
}

/// The log of one container.
#[derive(Debug, Default)]
pub(super) struct Log {
    lines: VecDeque<(Timestamp, String)>,
    size: usize,
}

impl Log {
    /// Add a line; the oldest go when there is too much.
    pub(super) fn add(&mut self, now: Timestamp, line: String) {
        self.size = self.size.saturating_add(line.len());
        self.lines.push_back((now, line));
        while self.size > MOST {
            let Some((_, oldest)) = self.lines.pop_front() else { return };
            self.size = self.size.saturating_sub(oldest.len());
        }
    }

    /// The text, or the end of it.
    pub(super) fn text(&self, tail: Option<usize>, times: Timestamps) -> String {
        let skipped = tail.map_or(0, |tail| self.lines.len().saturating_sub(tail));
        let line = |(time, line): &(Timestamp, String)| match times {
            Timestamps::Shown => format!("{time:.7} {line}\n"),
            Timestamps::Hidden => format!("{line}\n"),
        };
        self.lines.iter().skip(skipped).map(line).collect()
    }
}

/// The service keeps 4 MB.
const MOST: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_within_its_bound() {
        let mut log = Log::default();
        for number in 0..10_000 {
            log.add("2026-11-22T04:00:00Z".parse().unwrap(), format!("{number:0>1000}"));
        }
        assert!(log.size <= MOST);
        let last = format!("{:0>1000}\n", 9_999);
        assert_eq!(log.text(Some(1), Timestamps::Hidden), last);
        assert_eq!(
            log.text(Some(1), Timestamps::Shown),
            format!("2026-11-22T04:00:00.0000000Z {last}")
        );
    }
}
