package httpapi

import (
	"encoding/json"
	"net/http"
)

// Response is what a handler of a JSON route returns. Headers that are "" are not
// sent.
type Response struct {
	Status            int
	ContentType       string `header:"Content-Type" hidden:"true"`
	Location          string `header:"Location" hidden:"true"`
	ConsistencyToken  string `header:"Consistency-Token" hidden:"true"`
	Replayed          string `header:"Idempotent-Replayed" hidden:"true"` // "true" or ""
	PreferenceApplied string `header:"Preference-Applied" hidden:"true"`
	CacheControl      string `header:"Cache-Control" hidden:"true"` // "" is no-store
	Body              []byte
}

// NewResponse returns the response 200 with a body that is JSON already.
func NewResponse(body []byte) *Response {
	return &Response{Status: http.StatusOK, ContentType: "application/json", Body: body}
}

// NewJSONResponse returns the response 200 with v as JSON. It returns an error when v
// cannot be encoded.
func NewJSONResponse(v any) (*Response, error) {
	body, err := json.Marshal(v)
	return NewResponse(body), err
}

// NoContent changes r to 204 without a body, and returns r.
func (r *Response) NoContent() *Response {
	r.Status, r.ContentType, r.Body = http.StatusNoContent, "", nil
	return r
}

// Created changes r to 201 for a new resource at location, and returns r. Location is
// "" if the resource has no address.
func (r *Response) Created(location string) *Response {
	r.Status, r.Location = http.StatusCreated, location
	return r
}
