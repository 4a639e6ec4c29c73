//! Generators stop where they should, refuse what they cannot continue, and give the same tokens
//! with and without a cache.

use crate::generate_support::{CONTEXT, VOCAB, decoders, int8};
use tinytorch::Result;
use tinytorch::generate::{CacheKind, Finish, Generator, Limits, Sampler, Sampling, generate};
use tinytorch::models::Model;
use tinytorch::text::{BpeTokenizer, CharTokenizer, Tokenizer};

fn limits(steps: usize, cache: Option<CacheKind>) -> Limits {
    Limits { steps, ends: vec![], cache }
}

fn run(model: &dyn Model, prompt: &[i64], sampler: Sampler, limits: Limits) -> (Vec<i64>, Finish) {
    let decoder = model.as_decoder().unwrap();
    let mut generator = Generator::new(decoder, prompt, sampler, limits).unwrap();
    let ids = generator.by_ref().collect::<Result<Vec<i64>>>().unwrap();
    assert!(generator.next().is_none());
    assert_eq!(generator.ids(), [prompt, &ids].concat());
    (ids, generator.finish().unwrap())
}

#[test]
fn a_cache_changes_the_time_and_not_the_tokens() {
    for float in decoders() {
        for model in [int8(&*float), float] {
            let sampling = Sampling { temperature: 0.7, top_p: Some(0.9), ..Sampling::default() };
            for sampler in [Sampler::greedy(), Sampler::new(sampling).unwrap()] {
                let tokens = |cache| run(&*model, &[3, 1, 4], sampler.clone(), limits(10, cache)).0;
                assert_eq!(tokens(None).len(), 10);
                assert_eq!(tokens(None), tokens(Some(CacheKind::F32)));
                assert_eq!(tokens(Some(CacheKind::Int8)).len(), 10);
            }
        }
    }
}

#[test]
fn a_text_ends_at_the_steps_an_end_token_or_the_context() {
    for model in decoders() {
        let [decoder, prompt] = [model.as_decoder().unwrap().sizes().context, 3];
        assert_eq!(decoder, CONTEXT);
        for cache in [None, Some(CacheKind::F32), Some(CacheKind::Int8)] {
            let greedy = |limits| run(&*model, &[3, 1, 4], Sampler::greedy(), limits);
            let (all, finish) = greedy(limits(1000, cache));
            assert_eq!((all.len(), finish), (CONTEXT - prompt + 1, Finish::Context));
            assert_eq!(greedy(limits(5, cache)), (all[..5].to_vec(), Finish::Steps));
            assert_eq!(greedy(limits(0, cache)), (vec![], Finish::Steps));
            let ends = vec![all[4]];
            let first = all.iter().position(|id| *id == all[4]).unwrap();
            let ended = greedy(Limits { ends, ..limits(1000, cache) });
            assert_eq!(ended, (all[..first].to_vec(), Finish::End));
        }
    }
}

#[test]
fn a_prompt_may_fill_the_context_and_not_more() {
    for model in decoders() {
        let full = vec![1; CONTEXT];
        let (ids, finish) = run(&*model, &full, Sampler::greedy(), limits(9, Some(CacheKind::F32)));
        assert_eq!((ids.len(), finish), (1, Finish::Context));
        let fail = |prompt: &[i64]| {
            let limits = limits(1, None);
            let generator =
                Generator::new(model.as_decoder().unwrap(), prompt, Sampler::greedy(), limits);
            generator.map(drop).unwrap_err().to_string()
        };
        assert!(fail(&[]).contains("no tokens"));
        assert!(fail(&[1; CONTEXT + 1]).contains("17 tokens, and the model's context is 16"));
        assert!(fail(&[1, 2, VOCAB as i64]).contains("token 40 at position 2"));
        assert!(fail(&[-1]).contains("token -1 at position 0"));
    }
}

#[test]
fn a_model_of_broken_weights_is_an_error_and_ends_the_text() {
    for mut model in decoders() {
        let (_, param) = model.named_params_mut().pop().unwrap();
        param.value_mut().unwrap().as_mut_slice::<f32>().unwrap().fill(f32::NAN);
        for cache in [None, Some(CacheKind::F32)] {
            let decoder = model.as_decoder().unwrap();
            let mut generator =
                Generator::new(decoder, &[1], Sampler::greedy(), limits(3, cache)).unwrap();
            let error = generator.next().unwrap().unwrap_err().to_string();
            assert!(error.contains("scores token 0 with NaN"), "{error}");
            assert!(generator.next().is_none());
            assert_eq!(generator.finish(), Some(Finish::Failed));
        }
    }
}

#[test]
fn text_is_shown_as_it_comes_and_is_the_decoded_ids() {
    // With the unknown one as many as the models have.
    let chars: String = ('a'..='z').chain('0'..='9').chain("!?.".chars()).collect();
    let tokenizer = CharTokenizer::from_corpus(&chars).unwrap();
    for model in decoders() {
        let decoder = model.as_decoder().unwrap();
        let mut shown = Vec::new();
        let limits = limits(6, Some(CacheKind::F32));
        let sampler = Sampler::new(Sampling { top_k: Some(20), ..Sampling::default() }).unwrap();
        let show = |piece: &str| {
            shown.push(piece.to_owned());
            Ok(())
        };
        let made = generate(decoder, &tokenizer, "hello", sampler, limits.clone(), show).unwrap();
        assert_eq!((made.ids.len(), made.prompt), (11, 5));
        assert_eq!(made.text, tokenizer.decode(&made.ids).unwrap());
        assert_eq!(made.text, shown.concat());
        assert_eq!(shown[..5].concat(), "hello");

        let bytes = BpeTokenizer::bytes();
        let refused = generate(decoder, &bytes, "a", Sampler::greedy(), limits.clone(), |_| Ok(()));
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("the tokenizer has 256 tokens, and the model 40"), "{error}");
        let empty = generate(decoder, &tokenizer, "", Sampler::greedy(), limits, |_| Ok(()));
        assert!(empty.unwrap_err().to_string().contains("no tokens"));
    }
}
