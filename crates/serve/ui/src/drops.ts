// Files that are dropped onto the page.

/** Takes files from anywhere on the page; what else is dropped goes where it would. */
export function acceptDrops(take: (chosen: File[]) => void): void {
    const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
    const mark = (isOver: boolean): void => void document.documentElement.classList.toggle("dropping", isOver);
    document.addEventListener("dragover", (event) => {
        if (!hasFiles(event)) return;
        event.preventDefault();
        mark(true);
    });
    document.addEventListener("dragleave", (event) => event.relatedTarget === null && mark(false));
    document.addEventListener("drop", (event) => {
        mark(false);
        if (!hasFiles(event)) return;
        event.preventDefault();
        take([...(event.dataTransfer?.files ?? [])]);
    });
}
