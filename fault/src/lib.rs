//! The language of Schism: faults, leases, selectors, effects and plans; pure.
