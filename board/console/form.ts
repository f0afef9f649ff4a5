import type { Key } from "./keys.ts";
import type { Action, Answers, Field, Form } from "./screen.ts";

/** A form that is being filled in. */
export interface FormState {
  readonly form: Form;
  /** One for each field. */
  readonly answers: readonly string[];
  readonly at: number;
  /** Why the last answer would not do. */
  readonly problem?: string;
}

/** Longer answers are a paste that went astray. */
const MAX_ANSWER = 255;

export type FormStep =
  | { readonly kind: "stays"; readonly state: FormState }
  | { readonly kind: "leaves" }
  | { readonly kind: "done"; readonly state: FormState; readonly action: Action };

export function openForm(form: Form): FormState {
  return { form, answers: form.fields.map(({ value }) => value), at: 0 };
}

export function answersOf({ form, answers }: FormState): Answers {
  return Object.fromEntries(form.fields.map(({ name }, index) => [name, answers[index] ?? ""]));
}

/** What a key makes of a form. Enter at the last field looks at all answers, and goes to the first that will not do. */
export function stepForm(state: FormState, key: Key): FormStep {
  const field = state.form.fields[state.at];
  if (field === undefined) return { kind: "leaves" };
  switch (key.kind) {
    case "escape":
    case "interrupt":
      return { kind: "leaves" };
    case "up":
      return stays(state, { at: Math.max(0, state.at - 1) });
    case "down":
    case "tab":
      return stays(state, { at: Math.min(state.form.fields.length - 1, state.at + 1) });
    case "enter":
      return enter(state, field);
    case "left":
    case "right":
      return field.choices === undefined ? stays(state) : answer(state, nextChoice(field.choices, state, key.kind === "right" ? 1 : -1));
    case "backspace":
    case "delete":
      return field.choices === undefined ? answer(state, current(state).slice(0, -1)) : stays(state);
    case "clear":
      return field.choices === undefined ? answer(state, "") : stays(state);
    case "text":
      return typed(state, field, key.text);
    default:
      return stays(state);
  }
}

function current(state: FormState): string {
  return state.answers[state.at] ?? "";
}

/** A changed form; what was said of it before no longer holds. */
function stays({ problem: _problem, ...state }: FormState, changes: Partial<FormState> = {}): FormStep {
  return { kind: "stays", state: { ...state, ...changes } };
}

function answer(state: FormState, text: string): FormStep {
  return stays(state, { answers: state.answers.with(state.at, text.slice(0, MAX_ANSWER)) });
}

function nextChoice(choices: readonly string[], state: FormState, step: number): string {
  const index = choices.indexOf(current(state));
  return choices[(index + step + choices.length) % choices.length] ?? "";
}

/** A choice is taken by its first letters, or gone through by the space bar. */
function typed(state: FormState, { choices }: Field, text: string): FormStep {
  if (choices === undefined) return answer(state, current(state) + text);
  if (text === " ") return answer(state, nextChoice(choices, state, 1));
  const chosen = choices.find((choice) => choice.startsWith(text.toLowerCase()));
  return chosen === undefined ? stays(state) : answer(state, chosen);
}

function enter(state: FormState, field: Field): FormStep {
  const answers = answersOf(state);
  const problem = field.check?.(current(state), answers);
  if (problem !== undefined) return stays(state, { problem });
  const { fields, submit } = state.form;
  if (state.at < fields.length - 1) return stays(state, { at: state.at + 1 });
  for (const [index, other] of fields.entries()) {
    const wrong = other.check?.(state.answers[index] ?? "", answers);
    if (wrong !== undefined) return stays(state, { at: index, problem: wrong });
  }
  const action = submit(answers);
  return typeof action === "string" ? stays(state, { problem: action }) : { kind: "done", state, action };
}
