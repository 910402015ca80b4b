//! Each request with what answers it.

use crate::asked::{self, ClassifyBody, DrawBody, NameBody, PictureBody};
use crate::cancel::Cancel;
use crate::refusal::Refusal;
use crate::server::door::{Door, Shown};
use crate::server::studio::Studio;
use crate::server::work::Waits;
use crate::server::{listed, watched};
use crate::{draw, file, limits, model, note, page, steps};
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
use std::time::Instant;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Lines of a drawing that are no steps: its beginning, its images, and its end or its fault.
const LINES: usize = limits::IMAGES as usize + 3;

type Shared = State<Arc<Studio>>;

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, "application/json")], self.to_json().to_string())
            .into_response()
    }
}

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

/// The body of a request. While it is kept, it counts among all bodies.
struct Read {
    bytes: Bytes,
    /// None of a small one.
    place: Option<OwnedSemaphorePermit>,
}

/// The body of a request that has at most so many bytes.
async fn body(studio: &Studio, asked: Request, most: usize) -> Result<Read, Refusal> {
    let kind =
        asked.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        let error = "the body of a request is JSON, with Content-Type: application/json";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
    }
    let announced =
        asked.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let beyond = || Refusal::beyond(format!("this request has at most {most} bytes"));
    let length: u64 = announced.unwrap_or(most as u64);
    if length > most as u64 {
        return Err(beyond());
    }
    let place =
        if length > limits::SMALL_BODY as u64 { Some(room(studio, length as u32).await?) } else { None };
    match tokio::time::timeout(limits::BODY_TIME, to_bytes(asked.into_body(), most)).await {
        Ok(Ok(bytes)) => Ok(Read { bytes, place }),
        Ok(Err(error)) => Err(match std::error::Error::source(&error) {
            Some(cause) if cause.to_string().contains("length limit") => beyond(),
            _ => Refusal::bad("the body of the request did not come whole"),
        }),
        Err(_) => {
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body of the request did not come in time"))
        }
    }
}

/// Waits for room for a large body.
async fn room(studio: &Studio, bytes: u32) -> Result<OwnedSemaphorePermit, Refusal> {
    let room = studio.bodies.clone().acquire_many_owned(bytes);
    match tokio::time::timeout(limits::BODY_TIME, room).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "large requests have at most {} bytes together, and others are being answered; try again",
                limits::BODIES
            ),
        )),
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
    reading(move || Ok(json(&listed::models(&studio)))).await
}

async fn model(State(studio): Shared, query: NamedQuery) -> Result<Response, Refusal> {
    let Named { name, .. } = named(query)?;
    reading(move || {
        let model = studio.models.named(&name, &studio.places)?;
        Ok(json(&model::model(&model, &name, &listed::other_checkpoints(&model.folder))?))
    })
    .await
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
    let NameBody { name } = asked::read(&body(&studio, asked, limits::SMALL_BODY).await?.bytes)?;
    reading(move || Ok(json(&watched::stop(&studio.places, &name)?))).await
}

async fn note(State(studio): Shared, asked: Request) -> Result<Response, Refusal> {
    let body = body(&studio, asked, limits::BODY).await?;
    reading(move || {
        let asked: PictureBody = asked::read(&body.bytes)?;
        Ok(json(&note::note(&asked.bytes()?)?))
    })
    .await
}

async fn classify(State(studio): Shared, asked: Request) -> Result<Response, Refusal> {
    let Read { bytes, place: _place } = body(&studio, asked, limits::BODY).await?;
    let (asked, picture) = reading(move || {
        let asked: ClassifyBody = asked::read(&bytes)?;
        let picture = asked.raster()?;
        Ok((asked, picture))
    })
    .await?;
    let client = asked.client()?;
    let found = computed(studio, client, move |studio, cancel| {
        note::classified(&*studio.models.named(&asked.run, &studio.places)?, picture, cancel)
    });
    Ok(json(&found.await?))
}

/// A drawing that is asked for, its pictures decoded.
struct ToDraw {
    asked: DrawBody,
    wanted: asked::Wanted,
    client: Option<String>,
    /// Its body's among all bodies.
    _place: Option<OwnedSemaphorePermit>,
}

/// A drawing's request, with its pictures decoded on a thread of their own.
async fn drawn(studio: &Arc<Studio>, asked: Request) -> Result<ToDraw, Refusal> {
    let Read { bytes, place } = body(studio, asked, limits::BODY).await?;
    let studio = studio.clone();
    reading(move || {
        let asked: DrawBody = asked::read(&bytes)?;
        let (wanted, client) = (asked.wanted(&studio.program)?, asked.client()?);
        Ok(ToDraw { asked, wanted, client, _place: place })
    })
    .await
}

async fn steps(State(studio): Shared, asked: Request) -> Result<Response, Refusal> {
    let ToDraw { asked, wanted, client, _place } = drawn(&studio, asked).await?;
    let index = asked.index.unwrap_or(0);
    let found = computed(studio, client, move |studio, cancel| {
        studio.with_model(&wanted.drawing, |answers| steps::steps(answers, &wanted, index, cancel))
    });
    Ok(json(&found.await?))
}

async fn command(State(studio): Shared, asked: Request) -> Result<Response, Refusal> {
    let ToDraw { asked, wanted, _place, .. } = drawn(&studio, asked).await?;
    reading(move || {
        studio.with_model(&wanted.drawing, |answers| Ok(json(&file::command(answers, &wanted, asked.form)?)))
    })
    .await
}

async fn file(State(studio): Shared, asked: Request) -> Result<Response, Refusal> {
    let ToDraw { asked: DrawBody { form, index, .. }, wanted, client, _place } =
        drawn(&studio, asked).await?;
    let file = computed(studio, client, move |studio, cancel| {
        studio.with_model(&wanted.drawing, |answers| file::file(answers, &wanted, (form, index), cancel))
    });
    let file::File { name, kind, bytes } = file.await?;
    let name: String =
        name.chars().map(|c| if c.is_ascii_graphic() && c != '"' && c != '\\' { c } else { '-' }).collect();
    let headers = [
        (header::CONTENT_TYPE, kind.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, bytes).into_response())
}

async fn draw(State(studio): Shared, asked: Request) -> Result<Response, Refusal> {
    let ToDraw { asked, wanted, client, _place: place } = drawn(&studio, asked).await?;
    let (sender, mut receiver) = channel(LINES + limits::WAITING_STEPS);
    let for_work = studio.clone();
    let waits = studio.queue.push(client, move |cancel| {
        let started = Instant::now();
        let say = |mut value: Value| {
            if value["kind"] == "done" {
                value["milliseconds"] = (started.elapsed().as_millis() as u64).into();
            }
            // Who computes waits for no client: steps that nobody takes are left out, and there is room for the others.
            if value["kind"] != "step" || sender.capacity() > LINES {
                drop(sender.try_send(Ok(value)));
            }
        };
        let drawn = for_work
            .with_model(&wanted.drawing, |answers| draw::draw(answers, &wanted, asked.draft, cancel, say));
        if let Err(refusal) = drawn {
            // Whoever asked may be gone.
            let _ = sender.try_send(Err(refusal));
        }
    })?;
    // What is refused before anything is drawn is an answer with its own status.
    let first = receiver.recv().await.unwrap_or_else(|| Err(unanswered(&waits)))?;
    let lines = Lines { first: Some(first), receiver, _waits: waits, _place: place };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// A line of JSON for each thing that is ready. Whoever drops them cancels the drawing.
struct Lines {
    first: Option<Value>,
    receiver: Receiver<Result<Value, Refusal>>,
    _waits: Waits,
    _place: Option<OwnedSemaphorePermit>,
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
