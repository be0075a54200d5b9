CREATE TABLE members (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    phones TEXT,
    joined TEXT NOT NULL
);
CREATE TABLE loans (
    id INTEGER PRIMARY KEY,
    member INTEGER NOT NULL REFERENCES members (id),
    book TEXT NOT NULL
);
CREATE INDEX members_by_name ON members (name);
