// Package compat holds logs that earlier versions wrote, and tests that this version goes
// on with them: TestOldLog_ opens each archive in testdata.
//
// An archive is written by make, which builds the program of a commit, opens a shop with
// it, uses all of it, and kills it:
//
//	go run ./test/compat/make --commit b9b4279
//
// Make a new archive of the last commit before events, headers, keys or ids change, and
// keep those that are there: a log is opened after any number of versions. An archive is
// never made again for the same commit, since the program of then may no longer build.
// Nothing in it is secret: its people, passwords and keys were made up for it.
package compat

import (
	"encoding/json"
	"time"
)

// RecordFile is the name of a [Record] in an archive. Everything else in an archive is the
// data folder of `lonja up`.
const RecordFile = "asked.json"

// PublicURL is where the shop of an archive was reached, as payment links in its answers
// say.
const PublicURL = "https://shop.example"

// Record is what the shop of an archive was asked, and what it answered.
type Record struct {
	Commit   string            `json:"commit"`
	Made     time.Time         `json:"made"`
	Types    []string          `json:"types"`    // of all events that were recorded
	Accounts []Account         `json:"accounts"` // that can log in
	Keyed    []Exchange        `json:"keyed"`    // requests with a key, and their last answer, which was a replay
	Reads    []Exchange        `json:"reads"`    // what nothing changes that is pending in the log
	Orders   map[string][]Held `json:"orders"`   // by what they wait for: "payment", "shipment", "timer", ...
	// Deferred are the commands that were waiting for their service when it was killed.
	Deferred []Exchange `json:"deferred"`
	// Stored are those commands as they were stored. The shop keeps them for a week, so a
	// test stores them again.
	Stored []Message `json:"stored"`
}

// Account is a person who can log in.
type Account struct {
	Name      string   `json:"name"`
	ID        string   `json:"id"`
	Email     string   `json:"email"`     // as it was registered
	Spellings []string `json:"spellings"` // others of the same address
	Password  string   `json:"password"`
	Roles     []string `json:"roles"`
	// Refresh is the refresh token of a session that is open for a hundred years, "" when
	// there is none. Ended are those of sessions that are over.
	Refresh string   `json:"refresh,omitempty"`
	Ended   []string `json:"ended,omitempty"`
}

// Exchange is a request and its answer.
type Exchange struct {
	By       string          `json:"by"` // an account's name, "" for nobody
	Method   string          `json:"method"`
	Path     string          `json:"path"`
	Key      string          `json:"key,omitempty"`
	Body     json.RawMessage `json:"body,omitempty"`
	Status   int             `json:"status"`
	Replayed bool            `json:"replayed,omitempty"`
	Location string          `json:"location,omitempty"`
	Outcome  string          `json:"outcome,omitempty"` // of a deferred command: "done" or "refused"
	Answer   json.RawMessage `json:"answer,omitempty"`
}

// Held is an order and whose it is.
type Held struct {
	ID string `json:"id"`
	By string `json:"by"`
}

// Message is a message as a stream stored it.
type Message struct {
	Subject string              `json:"subject"`
	Header  map[string][]string `json:"header"`
	Data    []byte              `json:"data"`
}
