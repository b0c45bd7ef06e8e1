//! TLS names and OAUTHBEARER: the endpoint check, the mechanism, grants and token endpoints.

use super::refuse::simple_name;
use crate::keys::draft::Draft;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Translates them.
pub(super) fn run(draft: &mut Draft) {
    endpoint_check(draft);
    mechanism(draft);
    login_callback(draft);
    jwt_retriever(draft);
    token_endpoint(draft);
    assertion(draft);
}

fn endpoint_check(draft: &mut Draft) {
    let Some(given) = draft.get("ssl.endpoint.identification.algorithm") else {
        return;
    };
    let key = &given.key;
    let value = match given.value.to_ascii_lowercase().as_str() {
        "https" => "https",
        "" | "none" => "none",
        _ => {
            let message = format!("`{}` under `{key}` is not a known check", given.value);
            return draft.refuse(key, message, "write `https`, or an empty text to turn the check off");
        }
    };
    draft.put("ssl.endpoint.identification.algorithm", value, key);
}

fn mechanism(draft: &mut Draft) {
    if draft.written("sasl.mechanism") == Some("AWS_MSK_IAM") {
        let key = draft.writer("sasl.mechanism");
        no_token_provider(draft, &key, "`AWS_MSK_IAM`");
    }
}

fn login_callback(draft: &mut Draft) {
    let Some(given) = draft.get("sasl.login.callback.handler.class") else {
        return;
    };
    let key = &given.key;
    let home = "org.apache.kafka.common.security.oauthbearer.";
    let is_kafkas = given.value.contains(home) || !given.value.contains('.');
    match simple_name(&given.value) {
        "" => {}
        "OAuthBearerLoginCallbackHandler" if is_kafkas => draft.put("sasl.oauthbearer.method", "oidc", key),
        name => no_token_provider(draft, key, &format!("the Java class `{name}`")),
    }
}

fn jwt_retriever(draft: &mut Draft) {
    let Some(given) = draft.get("sasl.oauthbearer.jwt.retriever.class") else {
        return;
    };
    let key = &given.key;
    let grant = match simple_name(&given.value) {
        "" => return,
        "DefaultJwtRetriever" | "ClientCredentialsJwtRetriever" => "client_credentials",
        "JwtBearerJwtRetriever" => JWT_BEARER,
        name => return no_token_provider(draft, key, &format!("`{name}`")),
    };
    draft.put("sasl.oauthbearer.grant.type", grant, key);
    draft.put_derived("sasl.oauthbearer.method", "oidc");
}

fn token_endpoint(draft: &mut Draft) {
    let Some(given) = draft.get("sasl.oauthbearer.token.endpoint.url") else {
        return;
    };
    if given.value.to_ascii_lowercase().starts_with("file:") {
        return no_token_provider(draft, &given.key, "a token file");
    }
    draft.put_derived("sasl.oauthbearer.method", "oidc");
}

/// Assertions only count under the grant that uses them.
fn assertion(draft: &mut Draft) {
    if draft.given.keys().any(|key| key.starts_with("sasl.oauthbearer.assertion.")) {
        draft.put_derived("sasl.oauthbearer.grant.type", JWT_BEARER);
        draft.put_derived("sasl.oauthbearer.method", "oidc");
    }
}

/// Refuses what would need tokens made on our side of the client.
pub(super) fn no_token_provider(draft: &mut Draft, key: &str, what: &str) {
    let message = format!("`{key}`: {what} needs a token provider, which this version does not have");
    draft.refuse(key, message, "use OAUTHBEARER with `sasl.oauthbearer.token.endpoint.url`, SCRAM or PLAIN");
}
