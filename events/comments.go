package events

import (
	_ "embed"
	"encoding/json"
)

//go:embed comments.json
var commentsJSON []byte

// Comments returns the doc comments of the published types, by the type's name with
// its package ("events.Money"), and of their fields ("events.Money.Amount"). They are
// the descriptions in JSON Schemas. comments.json is made from the source by
// go test ./events -run Comments -write.
func Comments() map[string]string {
	var comments map[string]string
	if err := json.Unmarshal(commentsJSON, &comments); err != nil {
		panic("events: comments.json: " + err.Error()) // a test reads it
	}
	return comments
}
