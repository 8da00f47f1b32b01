//! The tools that need somebody on the client's side: `ask_name` a person, `summarize` a model.
//!
//! A legacy client is sent a request and the call waits for its response; a modern one gets the question as the
//! result of the call, and repeats the call with the answer.

#![expect(deprecated, reason = "sampling is deprecated since 2026-07-28, and clients still offer it")]

use rmcp::{
    ErrorData, RoleServer, ServiceError,
    handler::server::{
        tool::{InputResponses, RequestState},
        wrapper::Parameters,
    },
    model::*,
    schemars::{self, JsonSchema},
    service::RequestContext,
    tool, tool_router,
};
use serde::Deserialize;

use super::{connection::Connection, era};

/// Enough for one sentence.
const SUMMARY_TOKENS: u32 = 200;

/// Who is there
#[derive(Deserialize, JsonSchema)]
struct Name {
    /// Your name, or what you would like to be called
    name: String,
}

/// The arguments of `summarize`.
#[derive(Deserialize, JsonSchema)]
struct Summarize {
    /// The text to summarize
    text: String,
}

#[tool_router(router = asking_tools, vis = "pub(super)")]
impl Connection {
    #[tool(
        name = "ask_name",
        title = "Ask for a name",
        description = "Asks the user for a name with a small form (elicitation), and greets them by it. Needs a client that can show forms.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ask_name(
        &self,
        RequestState(state): RequestState,
        InputResponses(answers): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if !shows_forms(&context) {
            let required = ClientCapabilities::builder().enable_elicitation().build();
            return lacking(&context, "cannot ask its user (no `elicitation` capability with forms)", required);
        }
        let form = name_form()?;
        if !era::is_modern(&context) {
            let answer = self.heard(&context, context.peer.create_elicitation(form)).await;
            return Ok(answer.map_or_else(refused, greet).into());
        }
        let questions = &self.demo.questions;
        match questions.answer("ask_name", state, answers)? {
            Some(answer) => Ok(greet(answer).into()),
            None => {
                let request = InputRequest::Elicitation(ElicitRequest::new(form));
                Ok(questions.ask("ask_name", request).into())
            }
        }
    }

    #[tool(
        name = "summarize",
        title = "Summarize a text",
        description = "Summarizes a text in one sentence with the client's own model (sampling). Needs a client that lends its model.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn summarize(
        &self,
        Parameters(Summarize { text }): Parameters<Summarize>,
        RequestState(state): RequestState,
        InputResponses(answers): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let capabilities = context.client_capabilities().unwrap_or_default();
        if capabilities.sampling.is_none() {
            let required = ClientCapabilities::builder().enable_sampling().build();
            return lacking(&context, "does not lend its model (no `sampling` capability)", required);
        }
        let sampling = summary_request(&text);
        if !era::is_modern(&context) {
            let answer = self.heard(&context, context.peer.create_message(sampling)).await;
            return Ok(answer.map_or_else(refused, report).into());
        }
        let questions = &self.demo.questions;
        // The text is part of the subject, so that one text's summary cannot be passed off as another's.
        let subject = format!("summarize {text}");
        match questions.answer(&subject, state, answers)? {
            Some(answer) => Ok(report(answer).into()),
            None => {
                let request = InputRequest::CreateMessage(CreateMessageRequest::new(sampling));
                Ok(questions.ask(&subject, request).into())
            }
        }
    }
}

impl Connection {
    /// Waits for the client's answer, but no longer than for the call itself; the question is then withdrawn.
    async fn heard<T>(
        &self,
        context: &RequestContext<RoleServer>,
        answer: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<T, ServiceError> {
        tokio::select! {
            answer = answer => answer,
            () = context.ct.cancelled() => Err(ServiceError::Cancelled { reason: None }),
            () = self.demo.ended() => Err(ServiceError::TransportClosed),
        }
    }
}

/// Whether the client shows forms; until 2025-06-18 that was the only kind of elicitation, and needed no name.
fn shows_forms(context: &RequestContext<RoleServer>) -> bool {
    let elicitation = context.client_capabilities().and_then(|all| all.elicitation);
    elicitation.is_some_and(|modes| modes.form.is_some() || modes.url.is_none())
}

/// What to say to a client that cannot help: −32021 in the modern era, which has a code for it, else a tool error.
fn lacking(
    context: &RequestContext<RoleServer>,
    what: &str,
    required: ClientCapabilities,
) -> Result<CallToolResponse, ErrorData> {
    if era::is_modern(context) {
        return Err(ErrorData::missing_required_client_capability(required));
    }
    Ok(error(format!("This tool does not work with your client, which {what}.")).into())
}

fn name_form() -> Result<ElicitRequestParams, ErrorData> {
    let requested_schema =
        ElicitationSchema::from_type::<Name>().map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
    Ok(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: "What shall I call you?".to_owned(),
        requested_schema,
    })
}

fn summary_request(text: &str) -> CreateMessageRequestParams {
    let question = format!("Summarize the following text in one sentence.\n\n{text}");
    CreateMessageRequestParams::new(vec![SamplingMessage::user_text(question)], SUMMARY_TOKENS)
        .with_system_prompt("You summarize texts. Answer with the summary alone.")
}

fn greet(answer: ElicitResult) -> CallToolResult {
    let name = answer.content.map(serde_json::from_value::<Name>);
    match (answer.action, name) {
        (ElicitationAction::Accept, Some(Ok(Name { name }))) => text(format!("Hello, {name}! Nice to meet you.")),
        (ElicitationAction::Accept, _) => error("The form came back without a `name`.".to_owned()),
        (ElicitationAction::Decline, _) => text("You would rather not say. That is fine.".to_owned()),
        _ => text("You closed the form without an answer.".to_owned()),
    }
}

fn report(answer: CreateMessageResult) -> CallToolResult {
    let blocks = answer.message.content.into_vec();
    let texts: Vec<_> = blocks.iter().filter_map(|block| block.as_text()).collect();
    if texts.is_empty() {
        return error(format!("The model {} answered without a text.", answer.model));
    }
    let summary: Vec<_> = texts.iter().map(|text| text.text.as_str()).collect();
    text(format!("{}\n\n(summarized by {})", summary.join("\n"), answer.model))
}

fn refused(reason: ServiceError) -> CallToolResult {
    error(format!("Your client did not answer the question: {reason}"))
}

fn text(text: String) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

fn error(text: String) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(text)])
}
