//! Each request with what answers it.

use crate::asked::{self, ClassifyBody, DrawBody, NameBody, PictureBody};
use crate::door::{Door, Shown};
use crate::refusal::Refusal;
use crate::studio::Studio;
use crate::work::{Cancel, Waits};
use crate::{draw, file, limits, model_page, note, page, steps, watched};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use futures_core::Stream;
use serde::Deserialize;
use serde_json::Value;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

type Shared = State<Arc<Studio>>;

/// Everything that the server answers.
pub fn router(studio: Arc<Studio>, door: Arc<Door>) -> Router {
    Router::new()
        .route("/api/models", of(get(models)))
        .route("/api/model", of(get(model)))
        .route("/api/draw", of(post(draw)))
        .route("/api/steps", of(post(steps)))
        .route("/api/classify", of(post(classify)))
        .route("/api/file", of(post(file)))
        .route("/api/command", of(post(command)))
        .route("/api/note", of(post(note)))
        .route("/api/runs", of(get(runs)))
        .route("/api/run", of(get(run)))
        .route("/api/preview", of(get(preview)))
        .route("/api/stop", of(post(stop)))
        .route("/", of(get(page_file)))
        .fallback(get(page_file).fallback(no_such))
        .layer(middleware::from_fn_with_state(door, guarded))
        .with_state(studio)
}

/// A request that has another method is refused with words.
fn of(route: MethodRouter<Arc<Studio>>) -> MethodRouter<Arc<Studio>> {
    route.fallback(no_such)
}

async fn no_such() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "there is no such request; the page asks with GET and POST")
}

/// Lets a request in, and says in each answer what browsers may do with it.
async fn guarded(State(door): State<Arc<Door>>, asked: Request, next: Next) -> Response {
    let (parts, body) = asked.into_parts();
    let mut cookie = None;
    let mut answer = match door.check(&parts) {
        Err(refusal) => refusal.into_response(),
        Ok(shown) => {
            cookie = door.cookie().filter(|_| shown == Shown::Token);
            next.run(Request::from_parts(parts, body)).await
        }
    };
    let headers = answer.headers_mut();
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    answer
}

async fn page_file(asked: Request) -> Result<Response, Refusal> {
    let name = asked.uri().path().trim_start_matches('/');
    let (kind, bytes) = page::file(name).ok_or_else(|| Refusal::absent("there is no such page"))?;
    Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
}

/// The body of a request, within its limits.
async fn body(asked: Request) -> Result<Bytes, Refusal> {
    let kind =
        asked.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        let error = "the body of a request is JSON, with Content-Type: application/json";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
    }
    let announced =
        asked.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let beyond = || Refusal::beyond(format!("a request has at most {} bytes", limits::BODY));
    if announced.is_some_and(|bytes: u64| bytes > limits::BODY as u64) {
        return Err(beyond());
    }
    match tokio::time::timeout(limits::BODY_TIME, to_bytes(asked.into_body(), limits::BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(match std::error::Error::source(&error) {
            Some(cause) if cause.to_string().contains("length limit") => beyond(),
            _ => Refusal::bad("the body of the request did not come whole"),
        }),
        Err(_) => {
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body of the request did not come in time"))
        }
    }
}

/// Reads and looks at files on a thread that may wait for them.
async fn reading<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Refusal::failed()))
}

/// Computes an answer, until it is there or nobody waits for it.
async fn computed<T: Send + 'static>(
    studio: Arc<Studio>,
    client: Option<String>,
    work: impl FnOnce(&Studio, &Cancel) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let (sender, receiver) = oneshot::channel();
    let for_work = studio.clone();
    let waits = studio.queue.push(client, move |cancel| drop(sender.send(work(&for_work, cancel))))?;
    receiver.await.unwrap_or_else(|_| Err(unanswered(&waits)))
}

/// Why no answer came.
fn unanswered(waits: &Waits) -> Refusal {
    match waits.0.is_cancelled() {
        true => Refusal::cancelled(),
        false => Refusal::failed(),
    }
}

fn json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    #[serde(default)]
    after: u64,
    #[serde(default)]
    step: u64,
}

type NamedQuery = Result<Query<Named>, axum::extract::rejection::QueryRejection>;

fn named(query: NamedQuery) -> Result<Named, Refusal> {
    query.map(|Query(named)| named).map_err(|error| Refusal::bad(error.body_text()))
}

async fn models(State(studio): Shared) -> Result<Response, Refusal> {
    reading(move || Ok(json(&model_page::models(&studio)))).await
}

async fn model(State(studio): Shared, query: NamedQuery) -> Result<Response, Refusal> {
    let Named { name, .. } = named(query)?;
    reading(move || Ok(json(&model_page::model(&studio, &name)?))).await
}

async fn runs(State(studio): Shared) -> Result<Response, Refusal> {
    reading(move || Ok(json(&watched::runs(&studio.places)))).await
}

async fn run(State(studio): Shared, query: NamedQuery) -> Result<Response, Refusal> {
    let Named { name, after, .. } = named(query)?;
    reading(move || Ok(json(&watched::run(&studio, &name, after)?))).await
}

async fn preview(State(studio): Shared, query: NamedQuery) -> Result<Response, Refusal> {
    let Named { name, step, .. } = named(query)?;
    let png = reading(move || watched::preview(&studio.places, &name, step)).await?;
    Ok(([(header::CONTENT_TYPE, "image/png")], png).into_response())
}

async fn stop(State(studio): Shared, asked: Request) -> Result<Response, Refusal> {
    let NameBody { name } = asked::read(&body(asked).await?)?;
    reading(move || Ok(json(&watched::stop(&studio.places, &name)?))).await
}

async fn note(asked: Request) -> Result<Response, Refusal> {
    let body = body(asked).await?;
    reading(move || {
        let asked: PictureBody = asked::read(&body)?;
        Ok(json(&note::note(&asked.bytes()?)?))
    })
    .await
}

async fn classify(State(studio): Shared, asked: Request) -> Result<Response, Refusal> {
    let body = body(asked).await?;
    let (asked, picture) = reading(move || {
        let asked: ClassifyBody = asked::read(&body)?;
        let picture = asked.raster()?;
        Ok((asked, picture))
    })
    .await?;
    let client = asked.client()?;
    let found =
        computed(studio, client, move |studio, cancel| note::classified(studio, &asked, picture, cancel));
    Ok(json(&found.await?))
}

/// A drawing's request, with its pictures decoded on a thread of their own.
async fn drawn(
    studio: &Arc<Studio>,
    asked: Request,
) -> Result<(DrawBody, asked::Wanted, Option<String>), Refusal> {
    let (body, studio) = (body(asked).await?, studio.clone());
    reading(move || {
        let asked: DrawBody = asked::read(&body)?;
        let (wanted, client) = (asked.wanted(&studio.program)?, asked.client()?);
        Ok((asked, wanted, client))
    })
    .await
}

async fn steps(State(studio): Shared, asked: Request) -> Result<Response, Refusal> {
    let (asked, wanted, client) = drawn(&studio, asked).await?;
    let index = asked.index.unwrap_or(0);
    let found = computed(studio, client, move |studio, cancel| steps::steps(studio, &wanted, index, cancel));
    Ok(json(&found.await?))
}

async fn command(State(studio): Shared, asked: Request) -> Result<Response, Refusal> {
    let (asked, wanted, _) = drawn(&studio, asked).await?;
    reading(move || Ok(json(&file::command(&studio, &wanted, asked.form)?))).await
}

async fn file(State(studio): Shared, asked: Request) -> Result<Response, Refusal> {
    let (DrawBody { form, index, .. }, wanted, client) = drawn(&studio, asked).await?;
    let work = move |studio: &Studio, cancel: &Cancel| file::file(studio, &wanted, (form, index), cancel);
    let file::File { name, kind, bytes } = computed(studio, client, work).await?;
    let name: String =
        name.chars().map(|c| if c.is_ascii_graphic() && c != '"' && c != '\\' { c } else { '-' }).collect();
    let headers = [
        (header::CONTENT_TYPE, kind.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, bytes).into_response())
}

async fn draw(State(studio): Shared, asked: Request) -> Result<Response, Refusal> {
    let (asked, wanted, client) = drawn(&studio, asked).await?;
    let (sender, mut receiver) = unbounded_channel();
    let for_work = studio.clone();
    let waits = studio.queue.push(client, move |cancel| {
        let say = |value| drop(sender.send(Ok(value)));
        if let Err(refusal) = draw::draw(&for_work, &wanted, asked.draft, cancel, say) {
            // Whoever asked may be gone.
            let _ = sender.send(Err(refusal));
        }
    })?;
    // What is refused before anything is drawn is an answer with its own status.
    let first = receiver.recv().await.unwrap_or_else(|| Err(unanswered(&waits)))?;
    let lines = Lines { first: Some(first), receiver, _waits: waits };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// A line of JSON for each thing that is ready. Whoever drops them cancels the drawing.
struct Lines {
    first: Option<Value>,
    receiver: UnboundedReceiver<Result<Value, Refusal>>,
    _waits: Waits,
}

impl Stream for Lines {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let line = |value: Value| Some(Ok(Bytes::from(format!("{value}\n"))));
        if let Some(first) = self.first.take() {
            return Poll::Ready(line(first));
        }
        self.receiver.poll_recv(context).map(|said| match said? {
            Ok(value) => line(value),
            Err(refusal) => {
                let mut value = refusal.to_json();
                value["kind"] = "failed".into();
                line(value)
            }
        })
    }
}
