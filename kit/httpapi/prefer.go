package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxWait bounds the N of Prefer: wait=N.
const maxWait = 30 * time.Second

// preferredWait parses Prefer: wait=N (RFC 7240), 0 for none. A malformed preference is
// ignored, as the RFC says.
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
		return min(time.Duration(n)*time.Second, maxWait)
	}
	return 0
}
