//! Which stride is an instant in? Initial contacts of either foot from a stream of gait events, in step with a stream of samples.

use arrow_schema::DataType;
use proprio_core::{Port, RecordBatch, TimeNs, rows};
use serde::{Deserialize, Serialize};

use super::gait_event::{Foot, Kind};

/// The shortest stride, in nanoseconds: contacts nearer to each other are one, told twice.
const SHORTEST_NS: i64 = 300_000_000;

/// Where a stream of gait events holds what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContactColumns {
    /// Its port.
    pub port: usize,
    event: usize,
    side: usize,
}

impl ContactColumns {
    /// Of a port that has the text columns `event` and `side`.
    pub fn of(index: usize, port: &Port) -> Option<Self> {
        let text = |name: &str| {
            let column = port.schema.index(name)?;
            (port.schema.columns.field(column).data_type() == &DataType::Utf8).then_some(column)
        };
        Some(Self { port: index, event: text("event")?, side: text("side")? })
    }

    /// Initial contacts of a known foot, in order.
    pub fn read(&self, inputs: &[RecordBatch]) -> Vec<(TimeNs, Foot)> {
        let input = &inputs[self.port];
        let (events, sides) = (rows::strings(input, self.event), rows::strings(input, self.side));
        let all = rows::times(input).iter().zip(events.iter().zip(sides.iter()));
        let contacts = all.filter_map(|(time, (event, side))| {
            let foot = Foot::parse(side?);
            (Kind::parse(event?) == Some(Kind::InitialContact) && foot != Foot::Unknown).then_some((*time, foot))
        });
        contacts.collect()
    }
}

/// Which foot's strides a muscle or another column goes by, from the end of its name.
pub fn side_of(name: &str) -> Foot {
    Foot::parse(name.rsplit('_').next().unwrap_or_default())
}

/// The newest contact of each foot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strides {
    left: Option<TimeNs>,
    right: Option<TimeNs>,
}

/// What a contact does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// Nothing: it follows another too closely.
    Repeated,
    /// It begins a stride.
    Begins,
    /// It ends the stride that began then, and begins the next.
    Ends(TimeNs),
}

impl Strides {
    /// Takes a contact; a stride longer than `longest_ns` is none.
    pub fn take(&mut self, time: TimeNs, foot: Foot, longest_ns: i64) -> Contact {
        let last = if foot == Foot::Left { &mut self.left } else { &mut self.right };
        match *last {
            Some(start) if time.saturating_sub(start) < SHORTEST_NS => Contact::Repeated,
            Some(start) => {
                *last = Some(time);
                if time.saturating_sub(start) <= longest_ns { Contact::Ends(start) } else { Contact::Begins }
            }
            None => {
                *last = Some(time);
                Contact::Begins
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_make_strides() {
        let mut strides = Strides::default();
        let mut take = |ms: i64, foot| strides.take(ms * 1_000_000, foot, 2_000_000_000);
        assert_eq!(take(0, Foot::Left), Contact::Begins);
        assert_eq!(take(10, Foot::Left), Contact::Repeated);
        assert_eq!(take(500, Foot::Right), Contact::Begins);
        assert_eq!(take(1000, Foot::Left), Contact::Ends(0));
        assert_eq!(take(5000, Foot::Left), Contact::Begins);
        assert_eq!((side_of("soleus_left"), side_of("soleus")), (Foot::Left, Foot::Unknown));
    }
}
