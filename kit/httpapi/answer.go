package httpapi

import (
	"encoding/json"
	"net/http"
)

// Answer is a response: the JSON of a service as it came, and a few headers.
// Those that are empty are not sent.
type Answer struct {
	Status     int
	Type       string `header:"Content-Type" hidden:"true"`
	Location   string `header:"Location" hidden:"true"`
	Seen       string `header:"Consistency-Token" hidden:"true"`
	Replayed   string `header:"Idempotent-Replayed" hidden:"true"`
	Preference string `header:"Preference-Applied" hidden:"true"`
	Caching    string `header:"Cache-Control" hidden:"true"`
	Body       []byte
}

// Answering is the answer 200 with JSON that is written already.
func Answering(body []byte) *Answer {
	return &Answer{Status: http.StatusOK, Type: "application/json", Body: body}
}

// AnsweringJSON is the answer 200 with v as JSON.
func AnsweringJSON(v any) (*Answer, error) {
	body, err := json.Marshal(v)
	return Answering(body), err
}

// NoContent makes it an answer 204, which says nothing but that it is done.
func (a *Answer) NoContent() *Answer {
	a.Status, a.Type, a.Body = http.StatusNoContent, "", nil
	return a
}

// Created makes it an answer 201 for something new that is at location; "" when
// that has no address.
func (a *Answer) Created(location string) *Answer {
	a.Status, a.Location = http.StatusCreated, location
	return a
}
