//go:build erlang

package erlang

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/erlang-operator/erlang-operator/certs"
)

// BenchmarkSettings compares what the operator sets with other settings: of the socket, of
// TLS, of the processes that carry TLS, and of the emulator.
func BenchmarkSettings(b *testing.B) {
	for _, group := range []struct {
		name     string
		variants []variant
	}{
		{"buffers", []variant{
			withSocket("{buffer,16384}"), withSocket("{buffer,32768}"), withSocket("{buffer,65536}"),
			withSocket("{buffer,262144}"), withSocket("{buffer,1048576}"), withSocket("{recbuf,262144}"),
		}},
		{"sockets", []variant{
			withSocket("{buffer,131072},{sndbuf,1048576}"), withSocket("{buffer,131072},{high_watermark,1048576},{low_watermark,524288}"),
			withSocket("{buffer,131072},{delay_send,true}"), withArgs("+zdbbl", "256"), withArgs("+zdbbl", "32768"),
		}},
		{"ciphers", []variant{
			withTLS(`{ciphers, ["TLS_AES_128_GCM_SHA256"]}`), withTLS(`{ciphers, ["TLS_CHACHA20_POLY1305_SHA256"]}`),
			withTLS(`{session_tickets, disabled}`),
		}},
		{"processes", []variant{
			withSpawn("{fullsweep_after, 0}"), withSpawn("{min_heap_size, 100000}"), withSpawn("{min_bin_vheap_size, 1000000}"),
			withSpawn("{min_heap_size, 20000}, {min_bin_vheap_size, 1000000}"), withSpawn("{message_queue_data, off_heap}"),
		}},
		{"hibernation", []variant{awake}},
		{"schedulers", []variant{
			withArgs("+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"), withArgs("+sbwt", "short"), withArgs("+sbwt", "very_long"),
			withArgs("+swt", "very_low"), withArgs("+S", "1"), withArgs("+stbt", "db"), withArgs("+scl", "false"),
		}},
	} {
		b.Run(group.name, func(b *testing.B) {
			onEachReleaseAndPlace(b, func(b *testing.B, otp string, at place) {
				variants := append([]variant{ours, overTCP}, group.variants...)
				if group.name == "ciphers" && otp != "25" {
					variants = append(variants, kernelTLS()...)
				}
				printTable(fmt.Sprintf("OTP %s, %s, %s", otp, at.name, group.name), measured(b, otp, at, variants...))
			})
		})
	}
}

// kernelTLS is encryption by the kernel, which OTP 26 and later can have, if this machine's kernel
// can: OTP does not look, and does not connect where it cannot.
func kernelTLS() []variant {
	const list = "/proc/sys/net/ipv4/tcp_available_ulp"
	protocols, err := os.ReadFile(list)
	if err != nil || !slices.Contains(strings.Fields(string(protocols)), "tls") {
		fmt.Printf("\nkTLS is not measured: the kernel has none, or has not loaded its module tls (%s: %s)\n", list, strings.TrimSpace(string(protocols)))
		return nil
	}
	return []variant{withTLS("{ktls, true}")}
}

func withSocket(options string) variant {
	list := "[" + options + "]"
	return withArgs("-kernel", "inet_dist_listen_options", list, "inet_dist_connect_options", list).called(options)
}

func withTLS(option string) variant {
	return variant{name: option, options: strings.ReplaceAll(certs.Options(), "{verify, verify_peer},", "{verify, verify_peer}, "+option+",")}
}

// awake are links that never hibernate, as OTP has them by default.
var awake = variant{name: "hibernate_after infinity", options: regexp.MustCompile(`hibernate_after, \d+`).ReplaceAllString(certs.Options(), "hibernate_after, infinity")}

func withSpawn(options string) variant {
	return withTLS(fmt.Sprintf("{sender_spawn_opts, [%[1]s]}, {receiver_spawn_opts, [%[1]s]}", options)).called(options)
}

func withArgs(args ...string) variant {
	return variant{name: strings.Join(args, " "), options: certs.Options(), args: args}
}

func (v variant) called(name string) variant {
	v.name = name
	return v
}
