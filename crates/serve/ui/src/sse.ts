// Server-sent events out of a stream of bytes that is cut anywhere.

export interface Frame {
    id: string;
    event: string;
    data: string;
}

/** Longest frame that is kept: a hostile or broken stream must not fill the memory of the page. */
const FRAME_CHARS_MAX = 64 << 20;

/** Takes pieces, gives the frames that are complete. */
export class FrameParser {
    /** What came since the last frame, joined only when its end is there: a figure comes in hundreds of pieces. */
    private pieces: string[] = [];
    private chars = 0;
    /** The end of `pieces` may be the first half of a blank line. */
    private isLineEnd = false;
    private held = "";

    /**
     * @throws RangeError when a frame does not end.
     */
    push(piece: string): Frame[] {
        let text = this.held + piece;
        // A `\r` at the end may be half of a line end.
        this.held = text.endsWith("\r") ? "\r" : "";
        text = text.slice(0, text.length - this.held.length).replace(/\r\n?/g, "\n");
        if (text === "") return [];
        const frames: Frame[] = [];
        const ends = text.includes("\n\n") || (this.isLineEnd && text.startsWith("\n"));
        this.isLineEnd = text.endsWith("\n");
        this.pieces.push(text);
        this.chars += text.length;
        if (ends) {
            const parts = this.pieces.join("").split("\n\n");
            const rest = parts.pop() ?? "";
            for (const part of parts) {
                const frame = parseFrame(part);
                if (frame) frames.push(frame);
            }
            this.pieces = [rest];
            this.chars = rest.length;
            this.isLineEnd = rest.endsWith("\n");
        }
        if (this.chars > FRAME_CHARS_MAX) throw new RangeError("an event of the server does not end");
        return frames;
    }
}

function parseFrame(text: string): Frame | null {
    const frame: Frame = { id: "", event: "message", data: "" };
    const data: string[] = [];
    for (const line of text.split("\n")) {
        const colon = line.indexOf(":");
        const field = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
        if (field === "data") data.push(value);
        else if (field === "id") frame.id = value;
        else if (field === "event") frame.event = value;
    }
    frame.data = data.join("\n");
    return data.length > 0 ? frame : null;
}
