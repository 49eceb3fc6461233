//! How a publisher says that it starts, that it has ended, and how far it has come: JSON on the sensor's data key.
//!
//! ```json
//! {"message": "open", "boot": 1700000000000000000, "paced": true, "serial": "00B4-17"}
//! {"message": "end", "boot": 1700000000000000000, "last_sequence": 5999}
//! {"message": "progress", "time_ns": 1700000000000000000}
//! ```

use proprio_core::time::{LAB_TIMES_NS, TimeNs};
use proprio_core::{Rejection, SourceMessage};
use serde::{Deserialize, Serialize};

use super::reject;

/// No sensor counts this far.
const SEQUENCE_MAX: i64 = 1 << 53;

#[derive(Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case", deny_unknown_fields)]
enum Message {
    Open {
        boot: i64,
        paced: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        serial: Option<String>,
    },
    End {
        boot: i64,
        last_sequence: i64,
    },
    Progress {
        time_ns: TimeNs,
    },
}

/// The payload that opens a publisher's start; `serial` is the device's serial number, where it knows one.
pub fn open(boot: i64, paced: bool, serial: Option<&str>) -> Vec<u8> {
    encode(&Message::Open { boot, paced, serial: serial.map(str::to_owned) })
}

/// The payload that ends a publisher's start; `last_sequence` is −1 when it sent no sample.
pub fn end(boot: i64, last_sequence: i64) -> Vec<u8> {
    encode(&Message::End { boot, last_sequence })
}

/// The payload that moves the watermark of a source without a rate: nothing at or before `time_ns` will come.
pub fn progress(time_ns: TimeNs) -> Vec<u8> {
    encode(&Message::Progress { time_ns })
}

pub(super) fn decode(payload: &[u8]) -> Result<SourceMessage, Rejection> {
    match serde_json::from_slice(payload) {
        Ok(Message::Open { boot, paced, serial }) => Ok(SourceMessage::Open { boot, paced, serial }),
        Ok(Message::End { last_sequence, .. }) if !(-1..SEQUENCE_MAX).contains(&last_sequence) => {
            Err(reject("schema", format!("last_sequence {last_sequence} is out of range")))
        }
        Ok(Message::End { boot, last_sequence }) => Ok(SourceMessage::End { boot, last_sequence }),
        Ok(Message::Progress { time_ns }) if !LAB_TIMES_NS.contains(&time_ns) => {
            Err(reject("schema", format!("time_ns {time_ns} is outside the years 1970 to 2100")))
        }
        Ok(Message::Progress { time_ns }) => Ok(SourceMessage::Progress { time_ns }),
        Err(error) if error.is_data() => Err(reject("schema", error.to_string())),
        Err(error) => Err(reject("garbage", error.to_string())),
    }
}

fn encode(message: &Message) -> Vec<u8> {
    serde_json::to_vec(message).expect("integers and booleans are always JSON")
}
