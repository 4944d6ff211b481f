#!/usr/bin/perl
# What the installed ldirectord itself makes of files. Usage: oracle.pl /usr/sbin/ldirectord
# Each line of standard input is the path of a file; for each a line of JSON comes out: what read_config() and ld_setup()
# left in memory, or the messages with which they gave up. Nothing is asked of IPVS.
use strict;
use warnings;

use FindBin;
use JSON::PP;

require "$FindBin::Bin/program.pl";

load_program(shift or die "usage: oracle.pl PROGRAM\n");
our (@VIRTUAL, %LD_INSTANCE, $CONFIG, $CFGNAME, $DAEMON_STATUS, $DAEMON_STATUS_STARTING, $HOSTNAME);
our ($AUTOCHECK, $CALLBACK, $CHECKCOUNT, $CHECKINTERVAL, $CHECKTIMEOUT, $CLEANSTOP, $EMAILALERT, $EMAILALERTFREQ);
our ($EMAILALERTFROM, $EMAILALERTSTATUS, $FAILURECOUNT, $FALLBACK, $FALLBACK6, $FALLBACKCOMMAND, $FORKING, $LDIRLOG);
our ($MAINTDIR, $NEGOTIATETIMEOUT, $QUIESCENT, $READDQUIESCENT, $SMTP, $SUPERVISED);
our @messages;

$DAEMON_STATUS = $DAEMON_STATUS_STARTING;
$HOSTNAME = "oracle.example";

sub plain {
	my ($value) = @_;
	return $value unless ref $value;
	return [ map { plain($_) } @$value ] if ref $value eq 'ARRAY';
	return { map { $_ => plain($value->{$_}) } keys %$value };
}

sub globals {
	return {
		autoreload => $AUTOCHECK, callback => $CALLBACK, checkcount => $CHECKCOUNT, checkinterval => $CHECKINTERVAL,
		checktimeout => $CHECKTIMEOUT, cleanstop => $CLEANSTOP, emailalert => $EMAILALERT,
		emailalertfreq => $EMAILALERTFREQ, emailalertfrom => $EMAILALERTFROM, emailalertstatus => $EMAILALERTSTATUS,
		execute => [ sort keys %LD_INSTANCE ], failurecount => $FAILURECOUNT, fallback => plain($FALLBACK),
		fallback6 => plain($FALLBACK6), fallbackcommand => $FALLBACKCOMMAND, fork => $FORKING, logfile => $LDIRLOG,
		maintenancedir => $MAINTDIR, negotiatetimeout => $NEGOTIATETIMEOUT, quiescent => $QUIESCENT,
		readdquiescent => $READDQUIESCENT, smtp => $SMTP, supervised => $SUPERVISED,
	};
}

my $json = JSON::PP->new->canonical->latin1;
$| = 1;
while (my $path = <STDIN>) {
	chomp $path;
	@messages = ();
	$CONFIG = $path;
	$CFGNAME = "oracle";
	local $SIG{__WARN__} = sub { };
	local $SIG{ALRM} = sub { die "it does not end\n" };
	alarm(5);
	my $ok = eval { read_config(); ld_setup(); 1 };
	my $why = $@;
	alarm(0);
	my $said = { ok => $ok ? JSON::PP::true : JSON::PP::false, messages => [@messages] };
	$said->{died} = $why unless $ok or $why eq "refused\n";
	if ($ok) {
		$said->{globals} = globals();
		$said->{virtuals} = plain(\@VIRTUAL);
	}
	print $json->encode($said), "\n";
}
