package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// longestWait is the most that Prefer: wait=N gets.
const longestWait = 30 * time.Second

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
