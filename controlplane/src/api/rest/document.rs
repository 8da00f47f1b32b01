//! The description of the API, completed by what holds for every operation: who is refused and how, and that a problem is told in one
//! form. What is particular to an operation is said where it is handled.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, Header, OpenApi, Ref, RefOr, Response, ResponseBuilder};

/// The content type of problems (RFC 9457).
const PROBLEM: &str = "application/problem+json";
/// Where their shape is described.
const PROBLEM_SHAPE: &str = "#/components/schemas/Problem";

/// An answer that many operations have.
struct Refusal {
    status: &'static str,
    name: &'static str,
    says: &'static str,
    detail: &'static str,
    header: Option<(&'static str, &'static str)>,
}

/// Whatever operation it is.
const ALWAYS: [Refusal; 2] = [
    Refusal {
        status: "403",
        name: "Forbidden",
        says: "The role of the token does not allow it; or the request names another host than this one, or comes from a page of another \
            origin.",
        detail: "Apply takes the role `editor`, and this token has `viewer`",
        header: None,
    },
    Refusal {
        status: "default",
        name: "Failed",
        says: "Anything else that went wrong; 507 where the control plane has no room on its disk, 503 where it cannot do it at the moment.",
        detail: "nothing was changed: the disk with the state folder is full (/var/lib/sluice): make room there, and try again. Nodes go on \
            with what they run",
        header: None,
    },
];

/// Of operations that take a token.
const WITH_TOKEN: [Refusal; 2] = [
    Refusal {
        status: "401",
        name: "Unauthenticated",
        says: "There is no token, or nobody is known by it.",
        detail: "there is no token; send `Authorization: Bearer TOKEN`",
        header: Some(("WWW-Authenticate", "The scheme, `Bearer`.")),
    },
    Refusal {
        status: "429",
        name: "Throttled",
        says: "There were too many failed attempts from this address.",
        detail: "too many failed attempts; try again in 30 s",
        header: Some(("Retry-After", "Seconds to wait.")),
    },
];

/// Of operations that are told something.
const TOLD: [Refusal; 1] = [Refusal {
    status: "400",
    name: "Misread",
    says: "The request cannot be read: `detail` names the field, and what is expected there.",
    detail: "`limit` is to be a whole number, 0 or above",
    header: None,
}];

/// Of operations with a body.
const WITH_BODY: [Refusal; 2] = [
    Refusal {
        status: "413",
        name: "TooLarge",
        says: "The body is larger than 16 MiB.",
        detail: "the body is larger than 16 MiB",
        header: None,
    },
    Refusal {
        status: "415",
        name: "NotJson",
        says: "The body is not said to be JSON.",
        detail: "the body is to be JSON, and said to be: `Content-Type: application/json`",
        header: None,
    },
];

/// The description, complete.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of `sluice token create NAME --role ROLE`, or that of the file `admin.token`."));
    components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    for refusal in ALWAYS.iter().chain(&WITH_TOKEN).chain(&TOLD).chain(&WITH_BODY) {
        components.responses.insert(refusal.name.to_owned(), RefOr::T(refusal.response()));
    }
    let said: BTreeMap<String, String> = components
        .schemas
        .iter()
        .filter_map(|(name, schema)| Some((format!("#/components/schemas/{name}"), description(schema)?)))
        .collect();
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let may_have_token = operation.security.as_ref().is_none_or(|needed| needed.iter().any(is_token));
        let has_body = operation.request_body.is_some();
        let is_told = has_body || operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty());
        refuse(operation, &ALWAYS);
        for (_, refusals) in [(may_have_token, &WITH_TOKEN[..]), (is_told, &TOLD), (has_body, &WITH_BODY)]
            .iter()
            .filter(|(applies, _)| *applies)
        {
            refuse(operation, refusals);
        }
        for (status, response) in &mut operation.responses.responses {
            if let RefOr::T(response) = response {
                describe(status, response, &said);
            }
        }
    }
    document
}

impl Refusal {
    fn response(&self) -> Response {
        let status = self.status.parse().unwrap_or(500);
        let title = axum::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let example = json!({"title": title, "status": status, "detail": self.detail});
        let response = ResponseBuilder::new().description(self.says).content(PROBLEM, problem(example));
        match self.header {
            Some((name, says)) => response.header(name, header(says)).build(),
            None => response.build(),
        }
    }
}

fn header(says: &str) -> Header {
    let mut header = Header::default();
    header.description = Some(says.to_owned());
    header
}

fn problem(example: Value) -> Content {
    Content::builder().schema(Some(Ref::new(PROBLEM_SHAPE))).example(Some(example)).build()
}

fn is_token(requirement: &SecurityRequirement) -> bool {
    *requirement != SecurityRequirement::default()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten()
}

/// Adds answers, where the operation has none of its own for that status.
fn refuse(operation: &mut Operation, refusals: &[Refusal]) {
    for Refusal { status, name, .. } in refusals {
        let shared = || RefOr::Ref(Ref::new(format!("#/components/responses/{name}")));
        operation.responses.responses.entry((*status).to_owned()).or_insert_with(shared);
    }
}

/// Says what an answer is, where the handler does not, and gives problems their content type.
fn describe(status: &str, response: &mut Response, said: &BTreeMap<String, String>) {
    let shape = response.content.values().find_map(shape).map(str::to_owned);
    if response.description.is_empty() {
        response.description = match (status, shape.as_ref().and_then(|shape| said.get(shape))) {
            ("404", _) => {
                "There is no such thing: `detail` says what there is not, and what may have been meant.".into()
            }
            ("409", _) => {
                "Something else changed first, or it cannot be done as things are: `detail` says what.".into()
            }
            ("422", _) => {
                "The configuration would be wrong, and nothing was changed: `faults` says where and why.".into()
            }
            (_, Some(said)) => said.clone(),
            (_, None) => "It was done.".into(),
        };
    }
    if shape.as_deref() == Some(PROBLEM_SHAPE)
        && let Some(content) = response.content.shift_remove("application/json")
    {
        response.content.insert(PROBLEM.to_owned(), content);
    }
}

/// By reference, what shape something has.
fn shape(content: &RefOr<Content>) -> Option<&str> {
    match content {
        RefOr::T(Content { schema: Some(RefOr::Ref(shape)), .. }) => Some(&shape.ref_location),
        _ => None,
    }
}

fn description(schema: &RefOr<Schema>) -> Option<String> {
    match schema {
        RefOr::T(Schema::Object(object)) => object.description.clone(),
        RefOr::T(Schema::AllOf(all)) => all.description.clone(),
        _ => None,
    }
}
