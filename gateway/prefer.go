package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

const (
	// longestWait is the most that Prefer: wait=N gets.
	longestWait = 30 * time.Second
	// lookAgainSoon is how long one who waits relies on being told of changes.
	lookAgainSoon = 5 * time.Second
)

var preferParam = &huma.Param{
	Name: "Prefer", In: "header", Schema: &huma.Schema{Type: huma.TypeString}, Example: "wait=10",
	Description: "wait=N answers when the order says where to pay, is paid since it costs nothing, or is cancelled, or after N seconds, 30 at most. 503 when too many wait already; then nothing was ordered",
}

// preferredWait is how long Prefer: wait=N (RFC 7240) commands to wait, 0 for not
// at all. A preference that makes no sense is none.
func preferredWait(h http.Header) time.Duration {
	for preference := range strings.SplitSeq(strings.Join(h["Prefer"], ","), ",") {
		preference, _, _ = strings.Cut(preference, ";")
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
		if err != nil {
			return 0
		}
		return min(time.Duration(n)*time.Second, longestWait)
	}
	return 0
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
