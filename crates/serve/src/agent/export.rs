//! `/v1/agent/sessions/{id}/transcript`: a session as a training example, a notebook, or a text to read.
