//! Questions to a modern client: asked in one result, answered in the next request (`input_required`).

use std::{io, time::Duration};

use rmcp::{
    ErrorData,
    model::{InputRequest, InputRequiredResult, InputResponses, RequestStateCodec, SealOptions},
};
use serde::de::DeserializeOwned;

/// How long an answer is waited for: people go for lunch.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// The name of the one question in a result; the client's answer comes under the same.
const KEY: &str = "answer";

/// Asks, and knows its own questions again when the answers come, without keeping any of them.
#[derive(Clone)]
pub(super) struct Questions {
    /// Signs `requestState`, with a key of this process.
    codec: RequestStateCodec,
}

impl Questions {
    /// Fails only where the system has no randomness.
    pub(super) fn new() -> io::Result<Self> {
        let mut key = [0; RequestStateCodec::MIN_KEY_LENGTH];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| io::Error::other("the system gives no random bytes"))?;
        let codec = RequestStateCodec::try_new(key).map_err(io::Error::other)?;
        Ok(Self { codec })
    }

    /// The result that asks. `subject` is what the question is about; only an answer about the same is accepted.
    pub(super) fn ask(&self, subject: &str, request: InputRequest) -> InputRequiredResult {
        let options = SealOptions::new().associated_data(subject.as_bytes()).ttl(PATIENCE);
        let state = self.codec.seal_with(b"", &options);
        InputRequiredResult::new(Some([(KEY.to_owned(), request)].into()), Some(state))
    }

    /// The answer in a repeated request; none if it holds none, and the question has to be asked (again).
    ///
    /// Fails with −32602 when the state is not ours, is about something else or is too old, or when the answer is not
    /// of the kind that was asked for.
    pub(super) fn answer<T: DeserializeOwned>(
        &self,
        subject: &str,
        state: Option<String>,
        answers: Option<InputResponses>,
    ) -> Result<Option<T>, ErrorData> {
        let (Some(state), Some(answer)) = (state, answers.and_then(|mut answers| answers.remove(KEY))) else {
            return Ok(None);
        };
        let invalid = |message: String| ErrorData::invalid_params(message, None);
        let opened = self.codec.open_with(&state, subject.as_bytes());
        opened.map_err(|e| invalid(format!("this requestState does not belong to this question: {e}")))?;
        let answer = serde_json::from_value(answer);
        answer.map(Some).map_err(|e| invalid(format!("inputResponses.{KEY}: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use rmcp::model::{ElicitResult, ErrorCode};
    use serde_json::json;

    use super::*;

    fn answers() -> Option<InputResponses> {
        Some([(KEY.to_owned(), json!({ "action": "decline" }))].into())
    }

    fn asked(questions: &Questions, subject: &str) -> Option<String> {
        let request = json!({ "method": "roots/list" });
        let request = serde_json::from_value(request).unwrap();
        questions.ask(subject, request).request_state
    }

    #[test]
    fn an_answer_counts_only_for_the_question_it_was_asked_for() {
        let questions = Questions::new().unwrap();
        let state = asked(&questions, "tea");
        let answer = |subject, state| questions.answer::<ElicitResult>(subject, state, answers());
        assert!(answer("tea", state.clone()).unwrap().is_some());
        assert_eq!(answer("coffee", state).unwrap_err().code, ErrorCode::INVALID_PARAMS);
        let foreign = asked(&Questions::new().unwrap(), "tea");
        assert_eq!(answer("tea", foreign).unwrap_err().code, ErrorCode::INVALID_PARAMS);
    }

    #[test]
    fn without_state_or_answer_the_question_is_asked_again() {
        let questions = Questions::new().unwrap();
        let state = asked(&questions, "tea");
        assert!(questions.answer::<ElicitResult>("tea", None, answers()).unwrap().is_none());
        assert!(questions.answer::<ElicitResult>("tea", state, None).unwrap().is_none());
    }
}
