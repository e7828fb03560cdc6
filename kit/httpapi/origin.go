package httpapi

import (
	"errors"
	"net"
	"net/url"
)

// CheckOrigin returns an error unless s is an origin, as Config.PublicURL must be, or
// "". The error says what an origin looks like, and does not repeat s.
func CheckOrigin(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || s != u.Scheme+"://"+u.Host {
		return errors.New("must be an origin such as https://www.example, without a path, a user or a trailing slash")
	}
	return nil
}

// isLoopback reports whether a Host header names a loopback address, with or without a
// port.
func isLoopback(host string) bool {
	u, err := url.Parse("http://" + host)
	if err != nil || u.Host != host {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
