//! The prompts, and the completion of their arguments.

use rmcp::{
    handler::server::wrapper::Parameters,
    model::{ArgumentInfo, GetPromptResult, PromptMessage, Role},
    prompt, prompt_router,
    schemars::{self, JsonSchema},
};
use serde::Deserialize;

use super::connection::Connection;

/// What `review` suggests for its language; it takes any other as well.
const LANGUAGES: [&str; 12] =
    ["c", "c++", "c#", "go", "java", "javascript", "kotlin", "php", "python", "ruby", "rust", "typescript"];

/// The arguments of `review`.
#[derive(Deserialize, JsonSchema)]
struct Review {
    /// The language the code is written in; completion suggests some
    language: String,
    /// The code to review
    code: String,
}

#[prompt_router(router = "prompts", vis = "pub(super)")]
impl Connection {
    #[prompt(
        name = "hello",
        title = "Say hello",
        description = "Asks the model to introduce itself. Takes no arguments."
    )]
    async fn hello(&self) -> GetPromptResult {
        let text = "Say hello, and tell me in one sentence what you can do with the tools you have.";
        GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)])
            .with_description("A greeting to start with")
    }

    #[prompt(
        name = "review",
        title = "Review code",
        description = "Asks the model for a code review in the voice of a careful colleague."
    )]
    async fn review(&self, Parameters(Review { language, code }): Parameters<Review>) -> GetPromptResult {
        let text = format!(
            "Please review this {language} code. Name bugs first, then what is hard to read, then what is good, and \
             be brief.\n\n```{language}\n{code}\n```"
        );
        GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)])
            .with_description(format!("A review of {language} code"))
    }
}

/// Values for an argument of the prompt `name`.
pub(super) fn complete(name: &str, argument: &ArgumentInfo) -> Vec<String> {
    if (name, argument.name.as_str()) != ("review", "language") {
        return Vec::new();
    }
    let typed = argument.value.to_lowercase();
    let matching = LANGUAGES.iter().filter(|language| language.starts_with(&typed));
    matching.map(|language| (*language).to_owned()).collect()
}
