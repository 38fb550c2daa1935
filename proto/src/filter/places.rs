//! Where the parts of an expression stand in its text.

use cel::{
    IdedExpr,
    common::ast::{EntryExpr, Expr, SourceInfo},
};

/// The text, and the range of each node.
#[derive(Debug)]
pub(super) struct Places {
    text: String,
    ranges: std::collections::BTreeMap<u64, (usize, usize)>,
}

impl Places {
    /// Of a parsed expression.
    pub(super) fn of(source: &str, info: &SourceInfo, expr: &IdedExpr) -> Self {
        let mut places = Self {
            text: source.to_owned(),
            ranges: std::collections::BTreeMap::new(),
        };
        places.add(info, expr);
        places
    }

    /// As it was written, on one line.
    pub(super) fn text_of(&self, expr: &IdedExpr) -> String {
        let (mut start, mut end) = (usize::MAX, 0);
        self.widen(expr, &mut start, &mut end);
        let mut end = self.text.ceil_char_boundary(end);
        let mut start = start.min(end);
        // A field is placed at its dot.
        if self.text.get(..end).is_some_and(|text| text.ends_with('.')) {
            let after = self.text.get(end..).unwrap_or_default();
            let rest = after.trim_start().trim_start_matches(is_word);
            end = self.text.len() - rest.len();
        }
        let (opened, closed) = unmatched(self.text.get(start..end).unwrap_or_default());
        if closed > 0 {
            let before = self.text.get(..start).unwrap_or_default();
            let open = before.char_indices().rev().filter(|(_, c)| is_open(*c)).nth(closed - 1);
            start = open.map_or(start, |(at, _)| at);
        }
        if opened > 0 {
            let after = self.text.get(end..).unwrap_or_default();
            let close = after.char_indices().filter(|(_, c)| is_close(*c)).nth(opened - 1);
            end += close.map_or(0, |(at, c)| at + c.len_utf8());
        }
        // A call without a target is placed at its bracket.
        if self.text.get(start..end).is_some_and(|text| text.starts_with('(')) {
            let before = self.text.get(..start).unwrap_or_default();
            start = before
                .trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_')
                .len();
        }
        let text = self.text.get(start..end).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn add(&mut self, info: &SourceInfo, node: &IdedExpr) {
        if let Some((start, stop)) = info.offset_for(node.id) {
            // Bytes; `stop` is the last one.
            self.ranges.insert(node.id, (start as usize, stop as usize + 1));
        }
        children(node, &mut |child| self.add(info, child));
    }

    fn widen(&self, node: &IdedExpr, start: &mut usize, end: &mut usize) {
        if let Some((from, to)) = self.ranges.get(&node.id) {
            *start = (*start).min(*from);
            *end = (*end).max(*to);
        }
        children(node, &mut |child| self.widen(child, start, end));
    }
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

const fn is_open(c: char) -> bool {
    matches!(c, '(' | '[')
}

const fn is_close(c: char) -> bool {
    matches!(c, ')' | ']')
}

/// Brackets that are opened and not closed, and closed and not opened.
fn unmatched(text: &str) -> (usize, usize) {
    text.chars().fold((0, 0), |(open, closed), c| match c {
        _ if is_open(c) => (open + 1, closed),
        _ if is_close(c) && open > 0 => (open - 1, closed),
        _ if is_close(c) => (open, closed + 1),
        _ => (open, closed),
    })
}

fn children(node: &IdedExpr, visit: &mut dyn FnMut(&IdedExpr)) {
    match &node.expr {
        Expr::Call(call) => call.target.iter().map(|t| &**t).chain(&call.args).for_each(visit),
        Expr::Select(select) => visit(&select.operand),
        Expr::List(list) => list.elements.iter().for_each(visit),
        Expr::Map(map) => {
            for entry in &map.entries {
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    visit(&entry.key);
                    visit(&entry.value);
                }
            }
        }
        Expr::Comprehension(inner) => [
            &inner.iter_range,
            &inner.accu_init,
            &inner.loop_cond,
            &inner.loop_step,
            &inner.result,
        ]
        .into_iter()
        .for_each(visit),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}
