//! One client's view of the demo server: which method is answered where.

// Subscribing, logging and sampling are deprecated since 2026-07-28; this server exists to show them to clients that
// still use them.
#![expect(deprecated, reason = "legacy clients use these methods")]

use std::{
    borrow::Cow,
    collections::VecDeque,
    sync::{LazyLock, Mutex, PoisonError},
};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    handler::server::{
        prompt::PromptContext,
        router::{prompt::PromptRouter, tool::ToolRouter},
        tool::ToolCallContext,
    },
    model::*,
    service::{RequestContext, SubscriptionContext},
};
use tokio::{sync::watch, task::JoinSet};

use super::{counter, demo::Demo, era, log, prompts, resources};

/// What a client reads first.
const INSTRUCTIONS: &str = "\
A server to try things with; nothing here touches your files or the network. \
Call `echo` or `add` to see a call work, `slow` for progress and cancellation, `ask_name` for a question to the user, \
`summarize` for a question to the model, `log` for log messages. \
Subscribe to demo://counter and call `bump` to see it change; read demo://note/eras for what the two protocol eras are.";

static TOOLS: LazyLock<ToolRouter<Connection>> = LazyLock::new(|| {
    Connection::plain_tools() + Connection::slow_tool() + Connection::asking_tools() + Connection::log_tool()
});
static PROMPTS: LazyLock<PromptRouter<Connection>> = LazyLock::new(Connection::prompts);

/// The state of one client's connection.
pub(super) struct Connection {
    /// The server behind it.
    pub(super) demo: Demo,
    /// The least severe log message this legacy client wants.
    pub(super) log_level: Mutex<LoggingLevel>,
    /// Tells this legacy client of changes while it is subscribed; dropping it stops that.
    subscription: Mutex<JoinSet<()>>,
    /// What modern subscriptions in the making will be told of.
    changes: Mutex<VecDeque<watch::Receiver<u64>>>,
}

impl Connection {
    pub(super) fn new(demo: Demo) -> Self {
        Self {
            demo,
            log_level: Mutex::new(log::DEFAULT_LEVEL),
            subscription: Mutex::default(),
            changes: Mutex::default(),
        }
    }

    /// Ends the subscription to the counter and, with a client, begins a new one.
    fn resubscribe(&self, uri: &str, client: Option<rmcp::Peer<RoleServer>>) -> Result<(), ErrorData> {
        resources::check(uri)?;
        // The other resources never change, so there is nothing to remember about them.
        if uri == counter::URI {
            let mut subscription = self.subscription.lock().unwrap_or_else(PoisonError::into_inner);
            subscription.abort_all();
            if let Some(client) = client {
                subscription.spawn(self.demo.counter.tell(client));
            }
        }
        Ok(())
    }
}

impl ServerHandler for Connection {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_prompts()
            .enable_completions()
            .enable_logging()
            .build();
        let implementation =
            Implementation::new("sluice-demo", env!("CARGO_PKG_VERSION")).with_title("Sluice demo server");
        ServerConfig::new(capabilities).with_server_info(implementation).with_instructions(INSTRUCTIONS)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(self.demo.era.versions())
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(TOOLS.list_all()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        TOOLS.get(name).cloned()
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if !TOOLS.has_route(&call.name) {
            let message = format!("unknown tool `{}`; tools/list names those there are", call.name);
            return Err(ErrorData::invalid_params(message, None));
        }
        TOOLS.call(ToolCallContext::new(self, call, context)).await
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(resources::list()))
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(resources::templates()))
    }

    async fn read_resource(
        &self,
        read: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let contents = resources::read(&read.uri, &self.demo.counter)?;
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    async fn subscribe(
        &self,
        subscribe: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.resubscribe(&subscribe.uri, Some(context.peer))
    }

    async fn unsubscribe(
        &self,
        unsubscribe: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.resubscribe(&unsubscribe.uri, None)
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        // The SDK acknowledges the subscription between here and `listen`. A change in that moment must not be lost.
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.push_back(self.demo.counter.changes());
        let uris = requested.resource_subscriptions.iter().flatten();
        let known = uris.filter(|uri| resources::check(uri).is_ok());
        Some(SubscriptionFilter::builder().resource_subscriptions(known).build())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let changes = changes.unwrap_or_else(|| self.demo.counter.changes());
        counter::listen(changes, subscription, self.demo.ended()).await
    }

    async fn list_prompts(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(PROMPTS.list_all()))
    }

    async fn get_prompt(
        &self,
        get: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let prompt = PromptContext::new(self, get.name, get.arguments, context);
        PROMPTS.get_prompt(prompt).await
    }

    async fn complete(
        &self,
        complete: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let values = match &complete.r#ref {
            Reference::Prompt(prompt) => prompts::complete(&prompt.name, &complete.argument),
            Reference::Resource(template) => resources::complete(&template.uri, &complete.argument),
            _ => Vec::new(),
        };
        CompletionInfo::with_all_values(values).map(CompleteResult::new).map_err(|e| ErrorData::internal_error(e, None))
    }

    async fn set_level(
        &self,
        set: SetLevelRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if era::is_modern(&context) {
            // In modern requests the level travels in `_meta`; there is no session to keep it in.
            return Err(ErrorData::method_not_found::<SetLevelRequestMethod>());
        }
        *self.log_level.lock().unwrap_or_else(PoisonError::into_inner) = set.level;
        Ok(())
    }
}
