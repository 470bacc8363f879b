//! Bytes that the host hands over.

use std::ptr::null_mut;

/// Bytes that the host has allocated for us and that are ours to free.
pub(super) struct Given {
    pub(super) data: *mut u8,
    pub(super) size: usize,
}

impl Given {
    pub(super) const fn new() -> Self {
        Self { data: null_mut(), size: 0 }
    }

    pub(super) fn into_vec(self) -> Vec<u8> {
        if self.data.is_null() {
            return Vec::new();
        }
        // SAFETY: the host fills memory that it got from the module's exported allocator,
        // which makes it as a boxed slice of just this size, and keeps no pointer to it.
        unsafe { Vec::from_raw_parts(self.data, self.size, self.size) }
    }
}
