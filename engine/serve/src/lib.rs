//! Through which doors do researchers and dashboards ask? Flight SQL, PostgreSQL wire and HTTP over the tables of a rig.
