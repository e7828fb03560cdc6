package projection

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"lonja/kit/eventlog"
)

// A changed hash makes every replica rebuild all its views. The hash covers the text
// of the tables, comments included, so rewording that text is such a change. This test
// holds the hashes that are in use.
func TestDefinition_HashStays(t *testing.T) {
	def := Definition{
		Name:    "totals",
		Schema:  `CREATE TABLE totals (counter TEXT PRIMARY KEY, total INTEGER NOT NULL);`,
		Reads:   []Source{{Stream: "COUNTERS", Subjects: []string{"events.counter.>"}}},
		Project: func(*Tx, eventlog.Record) error { return nil },
	}
	withCommands := def
	withCommands.Commands, withCommands.Version = true, "2"
	for name, tt := range map[string]struct {
		def          Definition
		hash, schema string
	}{
		"plain":                       {def, "a0895e0b7c88", "afd10fcadf21868088be787ac6b96424ed1b0030cf953e4fb14bf235c79e2b3e"},
		"with commands and a version": {withCommands, "9f824ceff371", "0f9e1337e69741923d0747c261f7784942049f7b367cb8d86818fe9c73c01b2c"},
	} {
		sum := sha256.Sum256([]byte(tt.def.schema()))
		if got := hex.EncodeToString(sum[:]); got != tt.schema {
			t.Errorf("%s: the schema's SHA-256 is %s, want %s", name, got, tt.schema)
		}
		if got := tt.def.hash(); got != tt.hash {
			t.Errorf("%s: the hash is %s, want %s", name, got, tt.hash)
		}
	}
}
