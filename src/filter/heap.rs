//! The module's heap: blocks of a few sizes, each size with a list of those that are free.
//!
//! A payment asks for some 250 blocks and gives nearly all of them back. The allocator of Rust's
//! standard library for wasm, dlmalloc, joins and splits neighbours each time, which was a third of
//! all instructions that a payment took in the VM. Here a block is taken off a list and put back,
//! and its size is known to whoever gives it back.
//!
//! A list keeps what it was given, and a block never changes its size. So the heap stays as large as each
//! size has made it at its peak. Whoever makes all requests of one time hold blocks of one size, and later
//! of the next, makes it seven times as large as those blocks at most (`SPREAD_MAX`). What is longer than
//! [`SMALL_MAX`] is left to the standard library.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::{NonNull, null_mut};

/// Bytes that short sizes are rounded up to. No type here needs a coarser alignment.
const STEP: usize = 16;
/// The longest size that is rounded to the next [`STEP`]. Above it each doubling has [`QUARTERS`] sizes.
const FINE_MAX: usize = 128;
const QUARTERS: usize = 4;
/// The longest block that has a list, in bytes. Longer ones are few: bodies, header fields, buckets.
const SMALL_MAX: usize = 1024;
/// Bytes that are cut into blocks at a time.
const PIECE: usize = 64 * 1024;

const LISTS: usize = FINE_MAX / STEP + QUARTERS * (SMALL_MAX / FINE_MAX).ilog2() as usize;

/// All sizes together, by the longest.
#[cfg(test)]
const SPREAD_MAX: usize = 7;

/// The number of the list for each length in [`STEP`]s, and how long the blocks of each list are.
#[expect(clippy::indexing_slicing, reason = "past its end it would not compile")]
const TABLE: ([usize; SMALL_MAX / STEP], [usize; LISTS]) = {
    let (mut lists, mut sizes) = ([0; SMALL_MAX / STEP], [0; LISTS]);
    let (mut list, mut size, mut steps) = (0, STEP, 0);
    while steps < lists.len() {
        if (steps + 1) * STEP > size {
            list += 1;
            size += if size < FINE_MAX { STEP } else { (1 << size.ilog2()) / QUARTERS };
        }
        sizes[list] = size;
        lists[steps] = list;
        steps += 1;
    }
    (lists, sizes)
};

/// The number of the list for blocks of `size` bytes; `None` where there is no such list.
fn class(size: usize) -> Option<usize> {
    TABLE.0.get(size.wrapping_sub(1) / STEP).copied()
}

/// The first word of a block that is free: the next one of its list.
type Free = Option<NonNull<u8>>;

/// A heap over another one.
pub(super) struct Heap<A> {
    free: [Cell<Free>; LISTS],
    /// What is left of the piece that is being cut.
    rest: Cell<*mut u8>,
    rest_size: Cell<usize>,
    below: A,
}

// SAFETY: it is shared among threads only where there is one: a wasm module without threads.
#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
unsafe impl<A> Sync for Heap<A> {}

impl<A> Heap<A> {
    pub(super) const fn over(below: A) -> Self {
        Self {
            free: [const { Cell::new(None) }; LISTS],
            rest: Cell::new(null_mut()),
            rest_size: Cell::new(0),
            below,
        }
    }

    /// The list that has blocks for this layout, if any has.
    fn list(&self, layout: Layout) -> Option<&Cell<Free>> {
        if layout.align() > STEP {
            return None;
        }
        self.free.get(class(layout.size())?)
    }
}

impl<A: GlobalAlloc> Heap<A> {
    /// A new block of `size` bytes, a multiple of [`STEP`]. What is left of a piece that is too
    /// short is given up: it is less than the block.
    fn cut(&self, size: usize) -> *mut u8 {
        if self.rest_size.get() < size {
            let Ok(piece) = Layout::from_size_align(PIECE, STEP) else {
                return null_mut();
            };
            // SAFETY: its size is not zero.
            let rest = unsafe { self.below.alloc(piece) };
            if rest.is_null() {
                return null_mut();
            }
            self.rest.set(rest);
            self.rest_size.set(PIECE);
        }
        let block = self.rest.get();
        // SAFETY: the piece has at least `size` more bytes.
        self.rest.set(unsafe { block.add(size) });
        self.rest_size.set(self.rest_size.get() - size);
        block
    }
}

// SAFETY: a block comes from a list of its size or from a piece, which is cut once, so no two that
// are in use overlap; each is a multiple of `STEP` long and begins at one. Nothing here panics.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Heap<A> {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(list) = self.list(layout) else {
            // SAFETY: as this function's caller promises.
            return unsafe { self.below.alloc(layout) };
        };
        match list.get() {
            Some(block) => {
                // SAFETY: a free block has the next one in its first word.
                list.set(unsafe { block.cast::<Free>().read() });
                block.as_ptr()
            }
            None => {
                let sizes = class(layout.size()).and_then(|number| TABLE.1.get(number));
                sizes.map_or(null_mut(), |size| self.cut(*size))
            }
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match (self.list(layout), NonNull::new(block)) {
            (Some(list), Some(block)) => {
                // SAFETY: the block is at least `STEP` long, aligned, and nobody's any longer.
                unsafe { block.cast::<Free>().write(list.get()) };
                list.set(Some(block));
            }
            // SAFETY: it came from there.
            (None, _) => unsafe { self.below.dealloc(block, layout) },
            (Some(_), None) => {}
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else {
            return null_mut();
        };
        match (self.list(layout), self.list(wanted)) {
            (Some(list), Some(other)) if std::ptr::eq(list, other) => block,
            // SAFETY: it came from there and stays there.
            (None, None) => unsafe { self.below.realloc(block, layout, size) },
            (Some(_) | None, Some(_) | None) => {
                // SAFETY: as this function's caller promises.
                let moved = unsafe { self.alloc(wanted) };
                if !moved.is_null() {
                    let kept = layout.size().min(size);
                    // SAFETY: both blocks are at least so long, and they are two.
                    unsafe { block.copy_to_nonoverlapping(moved, kept) };
                    // SAFETY: as this function's caller promises.
                    unsafe { self.dealloc(block, layout) };
                }
                moved
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A block in use: where it is, what it was asked for, and the byte that it is filled with.
    struct Block {
        at: *mut u8,
        layout: Layout,
        filled: u8,
    }

    impl Block {
        fn fill(&self) {
            // SAFETY: the block is in use, and as long as its layout says.
            unsafe { self.at.write_bytes(self.filled, self.layout.size()) };
        }

        fn is_whole(&self, size: usize) -> bool {
            // SAFETY: the block is in use, `size` is no more than it has, and it was filled.
            let bytes = unsafe { std::slice::from_raw_parts(self.at, size) };
            bytes.iter().all(|byte| *byte == self.filled)
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take { size: usize, align: usize },
        Give(usize),
        Resize(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let size = prop_oneof![4 => 1..=200_usize, 2 => 200..=1100_usize, 1 => 1..=70_000_usize];
        let align = prop_oneof![Just(1_usize), Just(4), Just(8), Just(16), Just(32)];
        prop_oneof![
            3 => (size.clone(), align).prop_map(|(size, align)| Step::Take { size, align }),
            2 => any::<usize>().prop_map(Step::Give),
            2 => (any::<usize>(), size).prop_map(|(at, size)| Step::Resize(at, size)),
        ]
    }

    /// Takes the steps. Each block is filled, and looked at before it is given back: one that overlaps
    /// another, or was lost on the way to a new place, has other bytes.
    fn play(heap: &Heap<System>, steps: Vec<Step>, blocks: &mut Vec<Block>) {
        for (number, step) in steps.into_iter().enumerate() {
            let filled = u8::try_from(number % 251).unwrap();
            match step {
                Step::Take { size, align } => {
                    let layout = Layout::from_size_align(size, align).unwrap();
                    // SAFETY: its size is not zero.
                    let at = unsafe { heap.alloc(layout) };
                    assert!(!at.is_null() && at.addr().is_multiple_of(align));
                    blocks.push(Block { at, layout, filled });
                }
                Step::Give(_) | Step::Resize(..) if blocks.is_empty() => continue,
                Step::Give(at) => {
                    let block = blocks.swap_remove(at % blocks.len());
                    assert!(block.is_whole(block.layout.size()));
                    // SAFETY: it came from this heap with this layout.
                    unsafe { heap.dealloc(block.at, block.layout) };
                    continue;
                }
                Step::Resize(at, size) => {
                    let place = at % blocks.len();
                    let block = &mut blocks[place];
                    let kept = block.layout.size().min(size);
                    // SAFETY: it came from this heap with this layout, and `size` is not zero.
                    block.at = unsafe { heap.realloc(block.at, block.layout, size) };
                    let align = block.layout.align();
                    assert!(!block.at.is_null() && block.at.addr().is_multiple_of(align));
                    assert!(block.is_whole(kept));
                    block.layout = Layout::from_size_align(size, align).unwrap();
                    block.filled = filled;
                    blocks.swap(place, 0);
                    blocks[0].fill();
                    continue;
                }
            }
            blocks.last().unwrap().fill();
        }
    }

    proptest! {
        #[test]
        fn no_two_blocks_in_use_share_a_byte(steps in vec(step(), 0..400)) {
            let heap = Heap::over(System);
            let mut blocks = Vec::new();
            play(&heap, steps, &mut blocks);
            for block in blocks {
                prop_assert!(block.is_whole(block.layout.size()));
                // SAFETY: it came from this heap with this layout.
                unsafe { heap.dealloc(block.at, block.layout) };
            }
        }
    }

    /// What is under it, counting what it was asked for.
    struct Counting(Cell<usize>);

    // SAFETY: all of it is the system's.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            self.0.set(self.0.get() + layout.size());
            // SAFETY: as this function's caller promises.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: as this function's caller promises.
            unsafe { System.dealloc(block, layout) }
        }
    }

    #[test]
    fn what_is_given_back_is_used_again() {
        let heap = Heap::over(Counting(Cell::new(0)));
        for _ in 0..10_000 {
            for size in [1, 16, 17, 40, 160, 1000, SMALL_MAX] {
                let layout = Layout::from_size_align(size, 8).unwrap();
                // SAFETY: its size is not zero, and it is given back with the same layout.
                unsafe { heap.dealloc(heap.alloc(layout), layout) };
            }
        }
        assert_eq!(heap.below.0.get(), PIECE, "70,000 blocks out of one piece");
    }

    #[test]
    fn each_size_has_the_next_longer_block() {
        let mut sizes = Vec::new();
        for size in 1..=SMALL_MAX {
            let number = class(size).unwrap();
            let block = TABLE.1[number];
            assert!(size <= block && block.is_multiple_of(STEP), "{size}: {block}");
            assert!(block < size + STEP.max(size.div_ceil(QUARTERS)), "{size}: {block}");
            if sizes.len() == number {
                sizes.push(block);
            }
            assert_eq!(sizes[number], block, "{size}");
        }
        assert_eq!((sizes.len(), sizes.last()), (LISTS, Some(&SMALL_MAX)));
        assert!(sizes.iter().sum::<usize>() <= SPREAD_MAX * SMALL_MAX);
        for size in [0, SMALL_MAX + 1, usize::MAX] {
            assert_eq!(class(size), None);
        }
    }

    /// Blocks that are held all at one time, first of the shortest size, then of the next.
    #[test]
    fn whoever_goes_through_all_sizes_makes_it_larger_by_a_bound() {
        const HELD: usize = 1000;
        let heap = Heap::over(Counting(Cell::new(0)));
        for size in 1..=SMALL_MAX {
            let layout = Layout::from_size_align(size, 8).unwrap();
            // SAFETY: its size is not zero.
            let held: Vec<_> = (0..HELD).map(|_| unsafe { heap.alloc(layout) }).collect();
            // SAFETY: each came from this heap with this layout, and is given back once.
            held.into_iter().for_each(|block| unsafe { heap.dealloc(block, layout) });
        }
        let most = SPREAD_MAX * HELD * SMALL_MAX;
        assert!(heap.below.0.get() <= most, "{} of {most}", heap.below.0.get());
    }

    #[test]
    fn where_nothing_is_left_nothing_is_given() {
        struct Empty;
        // SAFETY: it never gives anything.
        unsafe impl GlobalAlloc for Empty {
            unsafe fn alloc(&self, _: Layout) -> *mut u8 {
                null_mut()
            }

            unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
        }
        let heap = Heap::over(Empty);
        for size in [1, 1024, 1025, PIECE] {
            let layout = Layout::from_size_align(size, 8).unwrap();
            // SAFETY: its size is not zero.
            assert!(unsafe { heap.alloc(layout) }.is_null());
        }
    }
}
