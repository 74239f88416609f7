//! What fails, and how that is told.

use std::{
    fs,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tonic::{Code, Status};
use zeebe::{Gateway, GatewayError, OAuthClient, Secret, TokenError, Trust};

use crate::mock::{Mock, SOON, client, serve};

#[tokio::test]
async fn what_a_gateway_says_is_told_apart() {
    let mock = Mock::default();
    let gateway = serve(mock.clone()).await;
    let table = [
        (
            Code::ResourceExhausted,
            "Reached maximum capacity of requests handled",
            "backpressure",
            true,
        ),
        (Code::ResourceExhausted, "gRPC message exceeds maximum size 4194304: 5", "refused", false),
        (Code::DeadlineExceeded, "timed out in PT15S", "late", true),
        (Code::Unavailable, "no leader for partition 3", "unavailable", true),
        (Code::NotFound, "no process found", "not-found", true),
        (Code::InvalidArgument, "not a JSON object", "refused", false),
        (Code::AlreadyExists, "again", "exists", false),
        (Code::Unauthenticated, "who are you", "refused", false),
        (Code::Internal, "broken", "unreachable", true),
    ];
    for (code, said, kind, passing) in table {
        *mock.mood.lock().unwrap() = Some(Status::new(code, said));
        let error = gateway.topology(SOON).await.unwrap_err();
        assert_eq!((error.kind(), error.is_passing()), (kind, passing), "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let error = client(at).topology(SOON).await.unwrap_err();
    assert!(matches!(error, GatewayError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&at.to_string()), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn silence_ends_at_the_limit() {
    // Takes connections, and never a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let began = Instant::now();
    let limit = Duration::from_millis(300);
    let error = client(listener.local_addr().unwrap()).topology(limit).await.unwrap_err();
    assert!(matches!(error, GatewayError::Late(_)), "{error}");
    assert!(began.elapsed() < SOON);
}

#[tokio::test]
async fn another_protocol_is_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut beginning = [0; 24];
            let _ = stream.read(&mut beginning).await;
            let _ =
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let error = client(at).topology(SOON).await.unwrap_err();
    assert!(matches!(error, GatewayError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_gateway_that_dies_in_a_call_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // An empty SETTINGS frame, so that the connection stands; then the end.
            let _ = stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
            let mut sent = [0; 256];
            let _ = stream.read(&mut sent).await;
            let _ = stream.read(&mut sent).await;
        }
    });
    let error = client(at).topology(SOON).await.unwrap_err();
    assert!(matches!(error, GatewayError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn tls_where_plain_is_expected_is_told() {
    let mock = serve(Mock::default()).await;
    let at = mock.place().to_string().replace("http:", "https:").parse().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let authority = directory.path().join("ca.pem");
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(&authority, issued.cert.pem()).unwrap();
    let gateway = Gateway::new(at, &Trust::File(authority), None).unwrap();
    let error = gateway.topology(SOON).await.unwrap_err();
    assert!(matches!(error, GatewayError::Unreachable { .. }), "{error}");
}

/// An authorization server that answers this to everybody, and what it was asked.
async fn server(
    answer: &'static str,
) -> (zeebe::Url, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap()).parse().unwrap();
    let (tell, asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = String::new();
            while !request.contains("client_secret=") {
                let mut part = [0; 4096];
                match stream.read(&mut part).await {
                    Ok(0) | Err(_) => break,
                    Ok(length) => request += &String::from_utf8_lossy(&part[..length]),
                }
            }
            let _ = tell.send(request);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, asked)
}

fn who(server: zeebe::Url) -> OAuthClient {
    let secret = Secret::new("hush".to_owned());
    let (id, audience) = ("me".to_owned(), "zeebe".to_owned());
    OAuthClient { server, id, secret, audience, trust: Trust::Machine }
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_shown_always() {
    let body = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 43\r\n\r\n\
                {\"access_token\":\"tok\",\"expires_in\":   3600}";
    let (url, mut asked) = server(body).await;
    let mock = Mock::default();
    let plain = serve(mock.clone()).await;
    let client = who(url);
    assert!(!format!("{client:?}").contains("hush"));
    let gateway = Gateway::new(plain.place().clone(), &Trust::Machine, Some(client)).unwrap();
    for _ in 0..3 {
        gateway.topology(SOON).await.unwrap();
    }
    let shown = mock.shown.lock().unwrap().clone();
    assert_eq!(shown, vec![Some("Bearer tok".to_owned()); 3]);
    let request = asked.recv().await.unwrap();
    for part in
        ["grant_type=client_credentials", "client_id=me", "client_secret=hush", "audience=zeebe"]
    {
        assert!(request.contains(part), "{request}");
    }
    assert!(asked.try_recv().is_err());
    assert!(!format!("{gateway:?}").contains("hush"));
}

#[tokio::test]
async fn without_a_token_nothing_is_asked() {
    let (url, _asked) =
        server("HTTP/1.1 401 No\r\nconnection: close\r\ncontent-length: 4\r\n\r\nhush").await;
    let mock = Mock::default();
    let plain = serve(mock.clone()).await;
    let gateway = Gateway::new(plain.place().clone(), &Trust::Machine, Some(who(url))).unwrap();
    let error = gateway.topology(SOON).await.unwrap_err();
    assert_eq!(error, GatewayError::Token(TokenError::Refused(401)));
    assert!(!error.to_string().contains("hush"));
    assert!(mock.shown.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_authorization_server_without_a_word_takes_no_longer_than_the_call_may() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap()).parse().unwrap();
    let mock = Mock::default();
    let plain = serve(mock.clone()).await;
    let gateway = Gateway::new(plain.place().clone(), &Trust::Machine, Some(who(url))).unwrap();
    let (began, limit) = (Instant::now(), Duration::from_millis(300));
    // At once: whoever comes second waits for the first's token, and no longer than it may itself.
    let (one, other) = tokio::join!(gateway.topology(limit), gateway.topology(limit));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for error in [one.unwrap_err(), other.unwrap_err()] {
        assert!(matches!(error, GatewayError::Token(TokenError::Silent(_))), "{error}");
        assert!(error.is_passing(), "{error}");
    }
    assert!(mock.shown.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_token_that_is_good_for_ever_is_a_token() {
    let body = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 56\r\n\r\n\
                {\"access_token\":\"tok\",\"expires_in\":18446744073709551615}";
    let (url, _asked) = server(body).await;
    let plain = serve(Mock::default()).await;
    let gateway = Gateway::new(plain.place().clone(), &Trust::Machine, Some(who(url))).unwrap();
    gateway.topology(SOON).await.unwrap();
}

#[tokio::test]
async fn the_authority_of_gateways_does_not_judge_the_server_of_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let authority = directory.path().join("ca.pem");
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(&authority, issued.cert.pem()).unwrap();
    let (url, _asked) = server("").await;
    let plain = serve(Mock::default()).await;
    let place = plain.place().clone();
    // A file that is not there would be read for the server of tokens, and not for a plain gateway.
    let nowhere = Trust::File(directory.path().join("none.pem"));
    assert!(Gateway::new(place.clone(), &nowhere, Some(who(url.clone()))).is_ok());
    let mut client = who(url);
    client.trust = nowhere;
    assert!(Gateway::new(place, &Trust::File(authority), Some(client)).is_err());
}
