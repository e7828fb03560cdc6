package eventlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// idNamespace is the UUID namespace of all derived ids. It must never change: ids that
// are derived in another namespace do not match those that logs hold already.
var idNamespace = uuid.MustParse("6e6f6c6a-6100-5000-8000-6c6f6e6a6121")

// DeriveID returns a UUID that depends on parts alone, so equal parts always give the
// same id. A reaction derives its command's id from the event that it handles, which
// makes a second delivery harmless.
func DeriveID(parts ...string) string {
	return uuid.NewSHA1(idNamespace, []byte(strings.Join(parts, "\x00"))).String()
}

// EventID returns the id of the event that a command results in: 16 bytes, derived from the
// command's id, in 22 characters of URL-safe base64. Each event stores its id twice, so it is
// shorter than a UUID's text. Events of earlier versions have the same bytes as a UUID.
func EventID(commandID string) string {
	return base64.RawURLEncoding.EncodeToString(CompactID(LegacyEventID(commandID)))
}

// LegacyEventID returns EventID as the text of a UUID, as earlier versions wrote it.
func LegacyEventID(commandID string) string { return DeriveID("fact", commandID) }

// TraceOf returns the W3C traceparent of what follows from the command with an id, if no
// other trace was begun before. The trace's id is the command's without dashes, if that is a
// UUID.
func TraceOf(commandID string) string {
	id := CompactID(commandID)
	if zero := make([]byte, 8); bytes.Equal(id[:8], zero) || bytes.Equal(id[8:], zero) { // not valid in a traceparent
		derived := uuid.NewSHA1(idNamespace, id)
		id = derived[:]
	}
	return "00-" + hex.EncodeToString(id) + "-" + hex.EncodeToString(id[8:]) + "-01"
}

// NewID returns a new UUID (version 7). Later ids sort after earlier ones.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// NewEntityID returns the id of the entity that a command creates: the prefix and the
// command's UUID without dashes. If commandID is not a UUID, one is derived from it.
func NewEntityID(prefix, commandID string) string {
	return prefix + hex.EncodeToString(CompactID(commandID))
}

// HashBody returns the Envelope.RequestHash of a command's body: the first 16 bytes of
// its SHA-256 in hexadecimal.
func HashBody(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16])
}

// CompactID returns an id as 16 bytes: the id itself if it is a UUID, otherwise a UUID
// that is derived from it.
func CompactID(id string) []byte {
	u, err := uuid.Parse(id)
	if err != nil {
		u = uuid.NewSHA1(idNamespace, []byte(id))
	}
	return u[:]
}

// Position returns a position in the log as headers and consistency tokens write it:
// "ORDERS:42".
func Position(stream string, seq uint64) string { return stream + ":" + strconv.FormatUint(seq, 10) }
