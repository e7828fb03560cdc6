package eventlog

import (
	"crypto/sha256"
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
