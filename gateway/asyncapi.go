package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"

	"lonja/kit/asyncapi"
	"lonja/kit/httpapi"
)

// Where the messages on NATS are described. They are no part of the HTTP API.
const (
	asyncAPIPath  = "/asyncapi.json"
	eventsPage    = "/docs/events"
	asyncAPIMedia = "application/vnd.aai.asyncapi+json;version=3.0.0"
)

// mountAsyncAPI serves a document, and a page of it. Nil serves neither.
func mountAsyncAPI(api *httpapi.API, doc *asyncapi.Document) error {
	if doc == nil {
		return nil
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("the AsyncAPI document: %w", err)
	}
	page, policy, err := doc.Page(asyncapi.Links{Document: asyncAPIPath, HTTPAPI: "/docs"})
	if err != nil {
		return fmt.Errorf("the page of the AsyncAPI document: %w", err)
	}
	api.Mount("GET "+asyncAPIPath, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", asyncAPIMedia)
		_, _ = w.Write(data)
	}))
	api.Mount("GET "+eventsPage, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		_, _ = w.Write(page)
	}))
	return nil
}
