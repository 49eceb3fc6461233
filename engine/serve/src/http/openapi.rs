//! What do the routes take and give? The OpenAPI 3.1 document, which CI holds the routes to.

use axum::Json;
use serde_json::{Value, json};

use super::answer::Form;
use super::live::QUERY_BYTES;
use crate::desk::STATEMENT_BYTES;

/// `GET /v1/openapi.json`.
pub async fn document() -> Json<Value> {
    Json(openapi())
}

fn openapi() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "proprio",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "SQL over live and recorded streams of a movement lab, and the typed requests that change the rig that runs.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" }
        },
        "security": [{ "token": [] }, { "password": [] }, {}],
        "paths": {
            "/v1/sql": { "post": ask() },
            "/v1/subscribe": { "get": follow("subscribe", "Rows as they come, as server-sent events",
                json!({ "200": { "description": "An event `rows` a batch, a JSON array of objects; an event `error` where it fails",
                    "content": { "text/event-stream": { "schema": { "type": "string" } } } } })) },
            "/v1/stream": { "get": follow("stream", "Rows as they come, over a WebSocket of Arrow IPC streams",
                json!({ "101": { "description": "A binary message a batch; the first has the columns alone" } })) },
            "/v1/control": { "post": control() },
            "/v1/console": { "get": {
                "operationId": "console",
                "summary": "What the operator's page draws, over a WebSocket",
                "responses": with_problems(json!({ "101": { "description": "JSON both ways, and binary frames" } }), &["401", "403", "426"])
            } },
            "/": { "get": {
                "operationId": "page",
                "summary": "The operator's page",
                "responses": with_problems(json!({ "200": { "description": "HTML", "content": { "text/html": { "schema": { "type": "string" } } } } }),
                    &["401", "403"])
            } },
            "/assets/{file}": { "get": {
                "operationId": "asset",
                "summary": "A file of the operator's page",
                "parameters": [{ "name": "file", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }],
                "responses": with_problems(json!({ "200": { "description": "The file" } }), &["401", "403", "404"])
            } },
            "/v1/tables": { "get": {
                "operationId": "listTables",
                "summary": "The tables that you may see, with their columns",
                "responses": with_problems(json!({ "200": given("The tables, by name", "Listing") }), &["400", "401", "403", "500"])
            } },
            "/v1/tables/{table}": { "get": {
                "operationId": "describeTable",
                "summary": "The columns of a table, or of its views `<table>_latest` and `<table>_all`",
                "parameters": [{ "name": "table", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }],
                "responses": with_problems(json!({ "200": given("The table", "Table") }), &["400", "401", "403", "404", "500"])
            } },
            "/v1/openapi.json": { "get": {
                "operationId": "openapi",
                "summary": "This document",
                "security": [],
                "responses": { "200": { "description": "OpenAPI 3.1", "content": { "application/json": { "schema": { "type": "object" } } } } }
            } },
            "/livez": { "get": {
                "operationId": "live",
                "summary": "Whether the process answers",
                "security": [],
                "responses": { "200": flag("alive") }
            } },
            "/readyz": { "get": {
                "operationId": "ready",
                "summary": "Whether the tables can be read",
                "security": [],
                "responses": with_problems(json!({ "200": flag("ready") }), &["503"])
            } }
        },
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "password": { "type": "http", "scheme": "basic" }
            },
            "schemas": schemas()
        }
    })
}

fn ask() -> Value {
    let sql = json!({ "type": "string", "description": "One statement: SELECT, DESCRIBE, SHOW TABLES or EXPLAIN" });
    let question = json!({
        "type": "object",
        "required": ["sql"],
        "additionalProperties": false,
        "properties": {
            "sql": { "type": "string", "maxLength": STATEMENT_BYTES, "description": "One statement; `$1`, `$2`, … stand for its parameters" },
            "parameters": { "type": "array", "items": { "type": ["null", "boolean", "number", "string"] } }
        },
        "examples": [{ "sql": "SELECT session, count(*) AS rows FROM sessions WHERE time_ns > $1 GROUP BY session", "parameters": [0] }]
    });
    let contents = Form::ALL.iter().map(|form| {
        let schema = match form {
            Form::Json => json!({ "type": "array", "items": { "type": "object" } }),
            // One schema doesn't say what a line or a file holds.
            _ => json!({}),
        };
        (form.media().to_owned(), json!({ "schema": schema }))
    });
    let contents: serde_json::Map<String, Value> = contents.collect();
    let answer = json!({ "200": {
        "description": "The rows, as they come. An answer that breaks off is not whole.",
        "content": contents
    } });
    json!({
        "operationId": "ask",
        "summary": "Asks one statement over all tables as they stand now",
        "requestBody": { "required": true, "content": {
            "application/json": { "schema": question },
            "application/sql": { "schema": sql.clone() },
            "text/plain": { "schema": sql }
        } },
        "responses": with_problems(answer, &["400", "401", "403", "406", "413", "415", "422", "429", "500", "503"])
    })
}

/// The route that changes the rig. Its requests are those of `proprio_core::control::Request`, by their names.
fn control() -> Value {
    let text = json!({ "type": "string", "minLength": 1, "maxLength": 4096 });
    let maybe = json!({ "type": ["string", "null"], "maxLength": 4096 });
    let time =
        json!({ "type": ["integer", "null"], "format": "int64", "description": "Event time in nanoseconds since 1970; now when absent" });
    let of = |name: &str, required: &[&str], mut properties: Value| {
        properties["request"] = json!({ "const": name });
        let required: Vec<&str> = std::iter::once("request").chain(required.iter().copied()).collect();
        json!({ "type": "object", "title": name, "required": required, "additionalProperties": false, "properties": properties })
    };
    let items = json!({ "type": "array", "maxItems": 10, "items": { "type": ["integer", "null"], "minimum": 0, "maximum": 10 } });
    let actions = json!({ "enum": ["note", "hold", "release", "override", "approve"] });
    let note = json!({ "type": "object", "required": ["author", "text"], "additionalProperties": false, "properties": {
        "author": text.clone(), "text": text.clone(), "action": actions, "about": maybe.clone(), "value": { "type": ["number", "null"] }
    } });
    let outcome = json!({ "author": text.clone(), "instrument": { "enum": ["odi", "pain_nrs"] }, "items": items, "time_ns": time.clone() });
    let start = json!({ "subject": maybe.clone(), "task": maybe.clone(), "from_ns": time.clone(), "carry": maybe.clone() });
    let file = json!({ "type": "string", "description": "A file's name, as `files` gives it" });
    let whole = json!({ "type": "string", "description": "A file's whole text" });
    let requests = [
        of("status", &[], json!({})),
        of("rig", &[], json!({})),
        of("session_start", &[], start),
        of("session_stop", &[], json!({})),
        of("trial", &["name"], json!({ "name": text.clone() })),
        of("mark", &["label"], json!({ "label": text.clone(), "time_ns": time.clone() })),
        of("note", &["note"], json!({ "note": note, "time_ns": time })),
        of("acknowledge", &["alert", "author"], json!({ "alert": text.clone(), "author": text, "text": maybe })),
        of("outcome", &["author", "instrument", "items"], outcome),
        of("reload", &[], json!({})),
        of("files", &[], json!({})),
        of("check", &["file", "text"], json!({ "file": file.clone(), "text": whole.clone() })),
        of("edit", &["file", "text", "was"], json!({ "file": file, "text": whole.clone(), "was": whole })),
    ];
    json!({
        "operationId": "control",
        "summary": "Asks the rig how it is, or to change: sessions, trials, marks, notes, outcomes, acknowledgements, files, reloads",
        "description": "Changes want `control: true` in the users file, and are rows of `audit`. Answered when the change is durable.",
        "requestBody": { "required": true, "content": { "application/json": { "schema": { "oneOf": requests } } } },
        "responses": with_problems(json!({ "200": {
            "description": "`done`, `rig`, `status`, `files`, `checked` or `reloaded`",
            "content": { "application/json": { "schema": { "type": "object", "minProperties": 1, "maxProperties": 1 } } }
        } }), &["400", "401", "403", "409", "413", "415", "429", "503"])
    })
}

/// A route that follows rows.
fn follow(name: &str, summary: &str, mut answer: Value) -> Value {
    answer["414"] = json!({ "description": "The address is too long to be read at all" });
    let description = "A `SUBSCRIBE`, or a SELECT that is followed from now on";
    json!({
        "operationId": name,
        "summary": summary,
        "parameters": [{ "name": "sql", "in": "query", "required": true, "description": description,
            "schema": { "type": "string", "minLength": 1, "maxLength": QUERY_BYTES } }],
        "responses": with_problems(answer, &["400", "401", "403", "426", "429", "500", "503"])
    })
}

fn schemas() -> Value {
    let text = json!({ "type": ["string", "null"] });
    json!({
        "Listing": {
            "type": "object",
            "required": ["tables"],
            "properties": { "tables": { "type": "array", "items": { "$ref": "#/components/schemas/Table" } } }
        },
        "Table": {
            "type": "object",
            "required": ["name", "columns"],
            "properties": {
                "name": { "type": "string" },
                "columns": { "type": "array", "items": { "$ref": "#/components/schemas/Column" } }
            }
        },
        "Column": {
            "type": "object",
            "required": ["name", "type", "nullable", "unit", "frame", "segment", "side", "sensor"],
            "properties": {
                "name": { "type": "string" },
                "type": { "type": "string", "description": "Arrow type" },
                "nullable": { "type": "boolean" },
                "unit": text, "frame": text, "segment": text, "side": text, "sensor": text
            }
        },
        "Problem": {
            "type": "object",
            "required": ["title", "status", "detail"],
            "properties": {
                "title": { "type": "string" },
                "status": { "type": "integer" },
                "detail": { "type": "string", "description": "One line for people" },
                "sqlstate": { "type": "string", "description": "PostgreSQL's code for it" }
            }
        }
    })
}

fn flag(name: &str) -> Value {
    let schema = json!({ "type": "object", "required": [name], "properties": { name: { "const": true } } });
    json!({ "description": "Yes", "content": { "application/json": { "schema": schema } } })
}

fn given(description: &str, schema: &str) -> Value {
    let reference = json!({ "$ref": format!("#/components/schemas/{schema}") });
    json!({ "description": description, "content": { "application/json": { "schema": reference } } })
}

fn with_problems(mut responses: Value, statuses: &[&str]) -> Value {
    for status in statuses {
        let description = match *status {
            "400" => "The request or the statement can't be read, or names what isn't there",
            "401" => "Name, password or token is wrong",
            "403" => "The user may not do that; or another machine asks where there are no users, or a page of another origin",
            "404" => "There is no such table or file",
            "409" => "The rig refuses, with its reason",
            "406" => "No form of the answer is accepted",
            "413" => "The request is too long",
            "415" => "The request is in no form that is read",
            "426" => "This route is a WebSocket's",
            "422" => "The query goes beyond a limit of time, memory or rows",
            "429" => "Too many queries run at a time",
            "503" => "The engine stops, or the tables can't be read now",
            _ => "The tables can't be read",
        };
        let reference = json!({ "$ref": "#/components/schemas/Problem" });
        responses[*status] = json!({ "description": description, "content": { "application/problem+json": { "schema": reference } } });
    }
    responses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_document_is_in_it() {
        let document = openapi();
        let text = document.to_string();
        let references: Vec<&str> = text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > 10);
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
