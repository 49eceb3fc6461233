//! Pure functions over slices, shared by operators and SQL functions.
