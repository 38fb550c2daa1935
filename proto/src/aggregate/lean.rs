//! Lists of which there are very many.

/// Appends without taking much more memory than is needed: there are as many of these lists as there are rules and panes.
pub fn push_lean<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 4).max(8));
    }
    list.push(item);
}
