//! The model's answers: whatever the text is, it is refused or within the limits of an event.

#![no_main]

use bzzz::kernel::agent::answer::{PlanAnswer, StepAnswer, answer, help, plan, review, step};
use bzzz::kernel::event::kinds::{CommandIntended, HelpForm, Payload, PlanProposed, cut};
use libfuzzer_sys::fuzz_target;

const MAX_TEXT: usize = 4096;

/// What is longer is cut before it becomes an event, from which the agent reads it.
const MAX_ANSWER: usize = 48 * 1024;

fuzz_target!(|text: &str| {
    let text = &cut(text, MAX_ANSWER);
    match plan(text) {
        Ok(PlanAnswer::Plan(plan)) => {
            assert!(!plan.steps.is_empty() && !plan.summary.is_empty());
            let lists = [&plan.steps, &plan.files, &plan.tests, &plan.risks];
            assert!(lists.iter().all(|list| list.len() <= 32));
            assert!(lists.iter().all(|list| list.iter().all(|text| text.len() <= 512)));
            let proposed = PlanProposed { epoch: 1, revision: 0, plan, deadline_ms: 0 };
            assert!(Payload::from(proposed).to_bytes().is_ok(), "a plan that fits no event");
        }
        Ok(PlanAnswer::Question(question)) => {
            assert!(!question.is_empty() && question.len() <= MAX_TEXT);
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
    if let Ok(offer) = help(text) {
        assert!(offer.text.len() <= MAX_TEXT);
        assert!(offer.help != HelpForm::Advice || !offer.text.is_empty(), "empty advice");
    }
    if let Ok(said) = answer(text) {
        assert!(!said.is_empty() && said.len() <= MAX_TEXT);
    }
    if let Ok(review) = review(text) {
        assert!(!review.reason.is_empty() && review.reason.len() <= MAX_TEXT);
    }
    match step(text) {
        Ok(StepAnswer::Command { reasoning, command }) => {
            assert!(!command.is_empty() && !command.contains('\0'));
            let intended = CommandIntended { epoch: 1, step: 0, reasoning, command, seconds: 1 };
            assert!(Payload::from(intended).to_bytes().is_ok());
        }
        Ok(StepAnswer::Done { summary }) => assert!(summary.len() <= MAX_TEXT),
        Ok(StepAnswer::Help { reasoning, question }) => {
            assert!(!question.is_empty(), "people are asked nothing");
            assert!(reasoning.len() <= MAX_TEXT && question.len() <= MAX_TEXT);
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
});
