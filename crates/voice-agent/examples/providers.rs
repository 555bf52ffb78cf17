//! Has the provider of `TTS_PROVIDER` say a sentence and that of `STT_PROVIDER` write it down, and prints how long
//! both take: `cargo run -p voice-agent --example providers -- "Your call is being transferred."`
//!
//! What was said lies in `said.wav` then.

#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sip_config::{Environment, ProviderSettings, SttSettings};
use speech::{HEARING_RATE, Pcm, resample};
use speech_cloud::{
    CloudVoice, Listen, Transcriber, http_client,
    listen::{Command, listen},
};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let text = std::env::args().nth(1);
    let text = text.unwrap_or_else(|| "Please transfer me to a live agent.".to_owned());
    let settings: ProviderSettings = Environment::load()?.settings()?;
    let http = http_client()?;

    let voice = CloudVoice::new(http.clone(), &settings.tts);
    let voice = voice.context("no provider speaks: set TTS_PROVIDER and its key")?;
    let asked = Instant::now();
    let mut spoken = voice.speak(&text, PATIENCE).await?;
    let first = asked.elapsed();
    let mut said = Pcm {
        sample_rate: spoken.sample_rate(),
        samples: Vec::new(),
    };
    while let Some(samples) = spoken.next().await? {
        said.samples.extend(samples);
    }
    let (length, whole) = (said.duration(), asked.elapsed());
    println!(
        "{} said {length:.1?}: first audio after {first:.0?}, all after {whole:.0?}",
        voice.name()
    );
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: said.sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create("said.wav", spec)?;
    for sample in &said.samples {
        file.write_sample(*sample)?;
    }
    file.finalize()?;

    let said = resample(&said, HEARING_RATE).samples;
    let (name, heard, time) = match settings.stt {
        SttSettings::Local => return Ok(()),
        SttSettings::OpenAi(openai) => {
            let asked = Instant::now();
            let transcriber = Transcriber::new(http, openai);
            let heard = transcriber.transcribe(&said, PATIENCE).await?;
            ("OpenAI", heard, asked.elapsed())
        }
        SttSettings::Deepgram(deepgram) => {
            let end = Duration::from_secs(1) * said.len() as u32 / HEARING_RATE;
            let (commands, mut to_send) = mpsc::channel(100);
            let (received, mut messages) = mpsc::channel(100);
            let line = tokio::spawn(async move { listen(&deepgram, &mut to_send, received).await });
            let mut pace = tokio::time::interval(Duration::from_millis(10));
            for frame in said.chunks(HEARING_RATE as usize / 100) {
                pace.tick().await;
                // A line that has broken says why in the end.
                commands.send(Command::Audio(frame.to_vec())).await.ok();
            }
            let asked = Instant::now();
            commands.send(Command::Finalize).await.ok();
            let mut words = Listen::default();
            while !words.turn(&(Duration::ZERO..end)).complete {
                let Some(message) = messages.recv().await else {
                    line.await??;
                    anyhow::bail!("Deepgram has not finished the words");
                };
                words.handle(message);
            }
            (
                "Deepgram",
                words.turn(&(Duration::ZERO..end)).text,
                asked.elapsed(),
            )
        }
    };
    println!("{name} heard after {time:.1?}: {heard}");
    Ok(())
}
