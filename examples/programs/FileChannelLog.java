import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.*;

/**
 * A log of lines through Java's FileChannel, Debian package openjdk-17-jdk-headless.
 *
 * java FileChannelLog.java write|check DIRECTORY [weak]
 *
 * Promise: what was written before `force(true)` returned is on the disk (java.nio, FileChannel.force:
 * "guaranteed that all changes made to the file ... will have been written to that device").
 * Weak: without `force`.
 */
public class FileChannelLog {
    public static void main(String[] args) throws Exception {
        Path directory = Path.of(args[1]), log = directory.resolve("log");
        boolean weak = args.length > 2;
        byte[] old = Files.exists(log) ? Files.readAllBytes(log) : new byte[0];
        int end = 0; // of the last whole line: a kill may have cut another one
        for (int i = 0; i < old.length; i++) if (old[i] == '\n') end = i + 1;
        if (args[0].equals("check")) {
            new String(old, 0, end).lines().forEach(line -> System.out.println("survived " + line));
            return;
        }
        FileChannel channel = FileChannel.open(log, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        channel.truncate(end).position(end);
        if (!weak) {
            channel.force(true);
            try (FileChannel name = FileChannel.open(directory)) { name.force(true); }
        }
        for (int number = 0;; number++) {
            String name = "g" + System.getenv("PLUGPULL_GENERATION") + "-" + number;
            System.out.println("attempt " + name);
            channel.write(ByteBuffer.wrap((name + "\n").getBytes()));
            if (!weak) channel.force(true);
            System.out.println("ack " + name);
        }
    }
}
