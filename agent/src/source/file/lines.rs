//! Cuts a block of bytes into lines. Pure.

/// One line, or as much of it as is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A whole line without its ending.
    Whole(&'a [u8]),
    /// The first bytes of a line that is longer than allowed.
    Cut(&'a [u8]),
}

/// Goes through the lines of a block that starts at a line's beginning, or inside an over-long line.
#[derive(Debug)]
pub struct Lines<'a> {
    block: &'a [u8],
    /// Bytes of the block that are done with.
    pub consumed: usize,
    /// The bytes that follow are the rest of an over-long line.
    pub mid_line: bool,
    max: usize,
}

impl<'a> Lines<'a> {
    /// Lines of at most `max` bytes.
    pub fn new(block: &'a [u8], max: usize, mid_line: bool) -> Self {
        Self {
            block,
            consumed: 0,
            mid_line,
            max,
        }
    }

    /// What is left when no whole line follows.
    pub fn rest(&self) -> &'a [u8] {
        &self.block[self.consumed..]
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.mid_line {
            let end = memchr::memchr(b'\n', self.rest());
            self.consumed = end.map_or(self.block.len(), |end| self.consumed + end + 1);
            self.mid_line = end.is_none();
            if self.mid_line {
                return None;
            }
        }
        let rest = self.rest();
        match memchr::memchr(b'\n', rest) {
            Some(end) => {
                self.consumed += end + 1;
                let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
                Some(if line.len() > self.max {
                    Line::Cut(&line[..self.max])
                } else {
                    Line::Whole(line)
                })
            }
            None if rest.len() > self.max => {
                self.consumed = self.block.len();
                self.mid_line = true;
                Some(Line::Cut(&rest[..self.max]))
            }
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `text` in pieces, as reads of a growing file would.
    fn cut(text: &[u8], max: usize, block: usize) -> Vec<Vec<u8>> {
        let (mut offset, mut mid_line, mut found) = (0, false, Vec::new());
        for end in (0..text.len()).step_by(block).chain([text.len()]) {
            let mut lines = Lines::new(&text[offset..end.max(offset)], max, mid_line);
            for line in lines.by_ref() {
                let (Line::Whole(line) | Line::Cut(line)) = line;
                found.push(line.to_vec());
            }
            offset += lines.consumed;
            mid_line = lines.mid_line;
        }
        found
    }

    #[test]
    fn endings_and_over_long_lines() {
        assert_eq!(
            cut(b"a\nb\r\n\nlast", 10, 100),
            [b"a".to_vec(), b"b".to_vec(), b"".to_vec()]
        );
        assert_eq!(
            cut(b"0123456789abc\nnext\n", 4, 100),
            [b"0123".to_vec(), b"next".to_vec()]
        );
        assert_eq!(
            cut(b"0123456789abc\nnext\n", 4, 3),
            [b"0123".to_vec(), b"next".to_vec()]
        );
    }

    proptest! {
        #[test]
        fn the_size_of_reads_changes_nothing(text in "[ab\n]{0,200}", max in 1usize..20, block in 1usize..40) {
            prop_assert_eq!(cut(text.as_bytes(), max, block), cut(text.as_bytes(), max, 10_000));
        }

        #[test]
        fn short_lines_are_what_split_says(text in "[ab\n]{0,200}") {
            let mut expected: Vec<_> = text.as_bytes().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            expected.pop();
            prop_assert_eq!(cut(text.as_bytes(), 1_000, 7), expected);
        }
    }
}
