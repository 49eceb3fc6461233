//! What a sensor's payloads hold, worked out once per sensor and thread and not once per message.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow_schema::{Field, Fields, Schema, SchemaRef};
use proprio_core::{Sensor, StreamSchema};

/// Sensors that a thread remembers; more than any rig has.
const REMEMBERED: usize = 1024;

/// The columns of a sensor's payloads.
pub(crate) struct Layout {
    sensor: Sensor,
    /// As [`Sensor::wire_schema`] gives it.
    pub wire: StreamSchema,
    /// The same, but every column after the time may hold nulls: which samples to refuse is the worker's decision.
    pub decoded: SchemaRef,
}

impl Layout {
    /// The layout of a sensor.
    pub fn of(sensor: &Sensor) -> Rc<Self> {
        thread_local! {
            static LAYOUTS: RefCell<HashMap<String, Rc<Layout>>> = RefCell::default();
        }
        LAYOUTS.with_borrow_mut(|layouts| {
            if let Some(layout) = layouts.get(&sensor.key).filter(|layout| layout.sensor == *sensor) {
                return layout.clone();
            }
            if layouts.len() >= REMEMBERED {
                layouts.clear();
            }
            let layout = Rc::new(Self::new(sensor));
            layouts.insert(sensor.key.clone(), layout.clone());
            layout
        })
    }

    /// The columns, `time_ns` first.
    pub fn fields(&self) -> &Fields {
        self.wire.columns.fields()
    }

    /// The names of the columns, for people.
    pub fn names(&self) -> String {
        self.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
    }

    fn new(sensor: &Sensor) -> Self {
        let wire = sensor.wire_schema();
        let lenient = |(index, field): (usize, &Arc<Field>)| field.as_ref().clone().with_nullable(index > 0);
        let decoded = Arc::new(Schema::new(wire.columns.fields().iter().enumerate().map(lenient).collect::<Vec<_>>()));
        Self { sensor: sensor.clone(), wire, decoded }
    }
}
