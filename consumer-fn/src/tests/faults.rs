//! Random faults, until done.
