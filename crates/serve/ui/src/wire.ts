// What the server says, as types. Everything in here is untrusted text once it reaches the page.

/** The same thing by MIME type: text as it is, everything else in base64. */
export type Bundle = Record<string, string>;

export type Approval = "ask" | "auto";

export interface TurnInfo {
    turn: number;
    content: string;
    answer: string | null;
    end: string;
    steps: number;
    executions: number;
    prompt_tokens: number;
    completion_tokens: number;
    seconds: number;
    first_event: number;
    last_event: number;
}

export interface PendingApproval {
    approval: string;
    step: number;
    code: string;
    /** The code is one call of this tool, which running code makes. */
    tool?: string;
}

export interface Session {
    id: string;
    created: number;
    title: string | null;
    model: string;
    profile: string;
    action_format: string;
    approval: Approval;
    system_prompt: string | null;
    tools: string[];
    packages: string[];
    skills: string[] | string;
    limits: Record<string, number | null>;
    sampling: Record<string, number | null>;
    parent: { session: string; turn: number } | null;
    state: "idle" | "running" | "waiting" | "stored";
    turns?: TurnInfo[];
    last_event: number;
    protection?: Protection;
    pending_approval?: PendingApproval | null;
}

export interface Protection {
    rung: string;
    refusals: { rung: string; reason: string }[];
    layers: { layer: string; holds: boolean; detail: string }[];
    missing_modules: string[];
}

export interface FileEntry {
    name: string;
    kind: "file" | "folder" | "link" | "other";
    bytes: number;
    modified: number;
}

/** How Python and files came back after an undo or for a branch. */
export interface Restored {
    how?: string;
    reason?: string;
    differences?: string[];
}

interface Usage {
    prompt_tokens: number;
    cached_tokens?: number;
    completion_tokens: number;
    seconds: number;
}

type Payload =
    | { type: "turn.start"; content: string }
    | { type: "step.start"; step: number }
    | { type: "token" | "code.delta" | "solution.delta"; text: string }
    | { type: "code.end"; step: number; code: string }
    | ({ type: "approval.required" } & PendingApproval)
    | { type: "approval.resolved"; approval: string; decision: string; reason?: string; code?: string }
    | { type: "exec.start"; step: number; code: string }
    | { type: "exec.stdout"; stream: "stdout" | "stderr"; text: string; late?: boolean }
    | { type: "exec.display"; data: Bundle }
    | {
          type: "exec.end";
          step: number;
          observation: string;
          end: string;
          state: string;
          seconds: number;
          value?: Bundle;
          error?: { name: string; message: string; traceback: string };
      }
    | { type: "hint"; text: string }
    | { type: "context.shortened"; observations: number; tokens?: number; tokens_max?: number }
    | ({ type: "usage"; step: number } & Usage)
    | { type: "answer"; text: string }
    | { type: "error"; message: string; code?: string }
    | ({ type: "turn.end"; end: string; steps: number; executions: number } & Usage)
    | { type: "restored"; cells: number; differences?: string[] }
    | { type: "undone"; turns: number; restored?: Restored }
    | { type: "branched"; session: string; at: number }
    | { type: "updated"; title?: string; approval?: Approval; model?: string };

/** One event of a session. Ids count from 1 without gaps. */
export type WireEvent = Payload & { id: number; turn: number; time: number };
