//! What a map that is full forgets.

use crate::bounded::Bounded;

fn kept(map: &Bounded<&'static str, u32>) -> Vec<u32> {
    map.values().copied().collect()
}

#[test]
fn what_was_not_used_for_the_longest_time_makes_room() {
    let mut map = Bounded::new(3);
    for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
        map.insert(key, value);
    }
    // The first key, and the first that came, but not the one that was not used for the longest time.
    assert_eq!(map.get(&"a").copied(), Some(1));
    map.insert("d", 4);
    assert_eq!(kept(&map), [1, 3, 4]);
    // To ask for what is not there is no use of anything.
    assert_eq!(map.get(&"b"), None);
    map.insert("e", 5);
    assert_eq!(kept(&map), [1, 4, 5]);
}

#[test]
fn a_value_in_place_of_another_takes_nobodys_room() {
    let mut map = Bounded::new(2);
    map.insert("a", 1);
    map.insert("b", 2);
    map.insert("a", 3);
    assert_eq!(kept(&map), [3, 2]);
    // It was a use, too.
    map.insert("c", 4);
    assert_eq!(kept(&map), [3, 4]);
    assert_eq!(map.remove(&"a"), Some(3));
    assert_eq!(map.remove(&"a"), None);
    map.insert("d", 5);
    assert_eq!(kept(&map), [4, 5]);
}
