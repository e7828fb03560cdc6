package events

import (
	"reflect"
	"strings"
)

// Sealed is embedded in an event with fields that identify a person or are secret. These
// fields have the tag `sealed:"true"`. They are recorded encrypted, with the key of the owner
// that the event's method KeyOwner names, and are forgotten for ever when that key is
// destroyed. The event's struct holds them in plain text: who appends an event seals it, and
// who reads it opens it.
type Sealed struct {
	// Withheld reports that the sealed fields are empty, because their key was destroyed or
	// because the reader has no keys. It is never recorded.
	Withheld bool `json:"withheld,omitempty"`
}

// unlessWithheld returns the first error about sealed fields, and nil when they are withheld.
func (s Sealed) unlessWithheld(failed ...error) error {
	if s.Withheld {
		return nil
	}
	return FirstOf(failed...)
}

// sealedMembers returns the JSON names of the sealed fields of an event's struct.
func sealedMembers(t reflect.Type) (names []string) {
	for _, field := range reflect.VisibleFields(t) {
		if field.Tag.Get("sealed") == "true" {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}
